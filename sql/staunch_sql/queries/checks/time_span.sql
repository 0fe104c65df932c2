-- Finds the first and the last moment of a time column up to a moment; what is planned for later says nothing.
SELECT min(sampled.{column}::timestamptz) AS first, max(sampled.{column}::timestamptz) AS last
FROM {table} AS sampled {sampling}
WHERE sampled.{column}::timestamptz <= $1::timestamptz AND isfinite(sampled.{column}::timestamptz)
