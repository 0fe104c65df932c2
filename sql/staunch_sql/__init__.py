"""Every SQL text of Staunch, by name."""
