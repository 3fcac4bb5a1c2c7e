"""Composition: options become the parts of a run."""
