"""The command `staunch`."""
