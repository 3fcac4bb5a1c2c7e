"""The training tab without a page."""
