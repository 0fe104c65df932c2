"""What a call costs, by whom it asks about or with features of its own, beside one that does nothing."""
