"""Tests of the base model as we need it, and of the provider that works without a host."""
