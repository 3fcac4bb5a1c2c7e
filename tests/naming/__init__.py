"""Tests of lib_lyco.naming."""
