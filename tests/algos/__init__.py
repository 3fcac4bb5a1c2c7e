"""Tests of the algorithms: formulas against oracles, traps of the file formats, numerics."""
