"""Sources of requests: built-in generators, and data sets by path."""
