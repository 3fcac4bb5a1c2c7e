"""A base model as we need it, and the provider that works without a host."""
