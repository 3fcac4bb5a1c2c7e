"""The tag grammar: text to a network request."""
