"""Composition: the command line."""
