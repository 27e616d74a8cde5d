"""How the reference model is made: its text, its tokenizer, its training and its files."""
