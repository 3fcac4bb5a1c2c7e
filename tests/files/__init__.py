"""The file format: what we read and write against the reference implementations."""
