"""What the training tab does with images and captions."""
