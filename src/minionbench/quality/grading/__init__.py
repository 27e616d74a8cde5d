"""Graders: whether an answer is the right one, by fixed rules that have a name and a version."""
