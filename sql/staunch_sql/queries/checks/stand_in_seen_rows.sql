-- Stands in place of a table: it without the rows that are later than the as-of time.
{name} AS NOT MATERIALIZED (
  SELECT {columns} FROM {table} AS seen_rows WHERE {seen}
)
