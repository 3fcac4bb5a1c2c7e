"""Tests of the embedded model and what it is made from."""
