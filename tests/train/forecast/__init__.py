"""Tests of `lib_lyco.train.forecast`."""
