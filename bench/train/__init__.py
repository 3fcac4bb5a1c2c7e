"""Training steps per second, beside lycoris' own way of attaching its modules."""
