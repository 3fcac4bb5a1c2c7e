"""Putting networks on a full-size SD1.5: seconds and bytes, beside peers and the least possible."""
