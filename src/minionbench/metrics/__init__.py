"""Metrics: pure functions that turn the facts of requests into numbers with their uncertainty."""
