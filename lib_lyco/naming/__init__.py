"""What a layer is called: every dialect to one canonical name, as tables."""
