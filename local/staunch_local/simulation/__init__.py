"""The simulated world: customers whose reasons to leave are known."""
