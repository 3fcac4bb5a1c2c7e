"""Reference results that nobody here wrote, or that were derived another way."""
