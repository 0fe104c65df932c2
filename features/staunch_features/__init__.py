"""From SQL to numbers: database, feature view, feature source, simulated world."""
