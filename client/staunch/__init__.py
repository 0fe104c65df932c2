"""The Python client of Staunch."""
