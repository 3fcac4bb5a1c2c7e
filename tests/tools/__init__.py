"""Files in, files or answers out."""
