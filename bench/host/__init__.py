"""Applying networks in a real WebUI on a full-size SD1.5, beside its builtin Lora extension."""
