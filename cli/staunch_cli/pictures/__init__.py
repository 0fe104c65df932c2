"""What commands draw with matplotlib: a view's features, and why a score is what it is."""
