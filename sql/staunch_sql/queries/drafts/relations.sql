-- Lists what has rows and is nobody's catalogue: tables, their partitions, views, and what the reader may do with them.
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       format('%I.%I', n.nspname, c.relname)::text AS sql, quote_ident(n.nspname)::text AS schema_sql,
       has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') AS readable,
       row_security_active(c.oid) AS rows_hidden,
       coalesce(obj_description(c.oid, 'pg_class'), '')::text AS comment
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY array_position(current_schemas(false), n.nspname) NULLS LAST, n.nspname, c.relname
