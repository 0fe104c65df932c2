"""What several commands need: typed arguments, settings as flags, the database, the server to call, views."""
