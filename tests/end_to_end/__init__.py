"""Whole ways: a file that another tool wrote, loaded, applied, against the other tool's own pictures."""
