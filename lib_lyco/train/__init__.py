"""Images become a network."""
