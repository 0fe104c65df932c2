-- Finds tables and views by the names that stand in the bodies of functions ($1 schemas, $2 names; no schema: by the
-- search path), or by number ($3), and which of the texts ($4, one a name; $5, one a number) has each.
SELECT named.text, c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind
FROM (SELECT schema, word, NULL::oid AS oid, text FROM unnest($1::text[], $2::text[], $4::int[]) AS n (schema, word, text)
      UNION ALL
      SELECT NULL, NULL, oid, text FROM unnest($3::oid[], $5::int[]) AS n (oid, text)) AS named
JOIN pg_catalog.pg_class AS c ON c.oid = named.oid OR c.relname = named.word
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND (named.oid IS NOT NULL OR named.schema = n.nspname OR named.schema = '' AND pg_table_is_visible(c.oid))
ORDER BY named.text, 3, 4
