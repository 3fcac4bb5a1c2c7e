"""What networks do to pictures: tests that train, draw and look at pixels."""
