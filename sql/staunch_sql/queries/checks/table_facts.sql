-- Says of a table how it is called, of which table it is a part, about how many rows it has and which columns.
SELECT c.oid AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       format('%I.%I', rn.nspname, r.relname)::text AS root,
       -- As the planner counts: what the last ANALYZE found on a page, times the pages that there are by now.
       (CASE WHEN c.relkind NOT IN ('r', 'm') THEN greatest(c.reltuples, 0)
             WHEN c.relpages > 0 AND c.reltuples >= 0
             THEN c.reltuples / c.relpages * pg_relation_size(c.oid) / current_setting('block_size')::int
             ELSE pg_relation_size(c.oid) / 50 END)::float8 AS rows,
       held.columns::text[] AS columns, held.written::text[] AS written, held.types::text[] AS types,
       held.readable::bool[] AS readable
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(a.attname ORDER BY a.attnum), '{}') AS columns,
         coalesce(array_agg(quote_ident(a.attname) ORDER BY a.attnum), '{}') AS written,
         coalesce(array_agg(base.typname ORDER BY a.attnum), '{}') AS types,
         coalesce(array_agg(has_column_privilege(c.oid, a.attnum, 'SELECT') ORDER BY a.attnum), '{}') AS readable
  FROM pg_catalog.pg_attribute AS a
  -- A domain is what it is made over, however often.
  CROSS JOIN LATERAL (
    WITH RECURSIVE types (oid) AS (
      SELECT a.atttypid
      UNION ALL
      SELECT t.typbasetype FROM types JOIN pg_catalog.pg_type AS t USING (oid) WHERE t.typtype = 'd'
    )
    SELECT t.typname FROM types JOIN pg_catalog.pg_type AS t USING (oid) WHERE t.typtype <> 'd'
  ) AS base
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
) AS held
WHERE c.oid = to_regclass($1::text)
