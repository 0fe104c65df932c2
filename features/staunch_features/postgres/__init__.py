"""PostgreSQL: connections, a pool of them, migrations, advisory locks.

`connection.py` decides what every session is like (UTC, no JIT, generic plans) and which failures mean
that the database is away. `pool.py` is our own, since what asyncpg's costs a query is more than the
query. Statements are files of `staunch_sql`; here is no SQL but that.
"""
