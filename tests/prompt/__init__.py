"""The tag grammar."""
