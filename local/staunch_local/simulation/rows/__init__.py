"""The rows that a simulated life leaves, and how they reach the database: in memory, then by binary COPY."""
