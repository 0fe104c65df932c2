-- Runs a feature view as if the rows of one table that are later than the as-of time were not there.
WITH {name} AS NOT MATERIALIZED (
  SELECT * FROM {table} AS seen_rows WHERE {seen}
)
SELECT * FROM (
{statement}
) AS seen
