"""What the training tab does: datasets, checks, runs and their queue; no page, no host."""
