"""From SQL to numbers: PostgreSQL, feature views, and the checks of a view."""
