-- Says of a column whether it can be the key: how many rows there are, in how many a call can name it, how many names.
SELECT count(*)::bigint AS rows,
       count(*) FILTER (WHERE {usable})::bigint AS usable,
       count(DISTINCT {key}) FILTER (WHERE {usable})::bigint AS different
FROM {table} AS t
