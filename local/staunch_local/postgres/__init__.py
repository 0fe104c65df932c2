"""The PostgreSQL that Staunch brings along."""
