"""The file format: header, tensors, metadata, hashes, atomic write."""
