"""History: all runs of a folder as tables, and what has changed in the course of them."""
