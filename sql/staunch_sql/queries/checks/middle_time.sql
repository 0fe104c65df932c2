-- Finds a moment in the middle of a time column, so that rows lie on both sides of it.
SELECT (percentile_disc(0.5) WITHIN GROUP (ORDER BY sampled.{column}))::timestamptz AS middle
FROM {table} AS sampled {sampling}
