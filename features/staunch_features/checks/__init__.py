"""What a person asks of a view before training on it."""
