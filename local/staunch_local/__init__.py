"""What `make run` needs and no server: a PostgreSQL of its own, and a simulated world."""
