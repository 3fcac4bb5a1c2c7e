"""Tests mirror lib_lyco; `oracles/` holds what nobody here wrote, or wraps it."""
