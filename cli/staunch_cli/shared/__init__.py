"""What several commands need: the database, the server to call, settings, views."""
