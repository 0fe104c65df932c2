"""How the values of features are spread."""
