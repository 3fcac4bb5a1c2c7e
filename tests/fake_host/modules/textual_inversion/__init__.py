"""Embeddings that a prompt names."""
