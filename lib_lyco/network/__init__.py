"""A file, understood: tensors to adapters by layer."""
