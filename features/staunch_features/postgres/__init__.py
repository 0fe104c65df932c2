"""PostgreSQL: connections, a pool of them, migrations, locks."""
