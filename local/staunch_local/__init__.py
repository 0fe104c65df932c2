"""What `make run` needs and no server: a PostgreSQL of its own, and a simulated world to fill it.

- `postgres` makes, starts, recovers and stops the embedded server in `.staunch/`.
- `simulation` draws customers whose reasons to leave are known, and writes the rows a business would have.

Comes with the extra `local`. The two know nothing of each other; the command puts them together.
"""
