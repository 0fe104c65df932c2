-- Tells what functions and views of the database do, by name ($1 with $2: calls, $3 with $4: views; no schema:
-- by the search path) or by number ($5 functions, $6 views). Of what PostgreSQL brings along only what is volatile.
SELECT 'function'::text AS kind, p.oid::oid AS oid, p.proname::text AS word,
       (CASE WHEN p.oid < 16384 THEN p.proname ELSE p.oid::regprocedure::text END)::text AS name,
       p.provolatile::text AS volatility,
       -- Other languages cannot be read here.
       (CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) END)::text AS body,
       l.lanname::text AS language, (CASE WHEN p.prosecdef THEN p.proowner END)::oid AS runs_as,
       p.proconfig::text[] AS settings, d.functions::oid[] AS functions, d.relations::oid[] AS relations
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
CROSS JOIN LATERAL (
  SELECT array_agg(refobjid) FILTER (WHERE refclassid = 'pg_proc'::regclass) AS functions,
         array_agg(refobjid) FILTER (WHERE refclassid = 'pg_class'::regclass) AS relations
  FROM pg_catalog.pg_depend
  WHERE classid = 'pg_proc'::regclass AND objid = p.oid
) AS d
WHERE (p.oid >= 16384 OR p.provolatile = 'v')
  AND (p.oid = ANY ($5::oid[])
       OR EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS called (schema, word)
                  WHERE called.word = p.proname
                    AND (called.schema = n.nspname OR called.schema = '' AND pg_function_is_visible(p.oid))))
UNION ALL
SELECT 'view', c.oid, c.relname::text, c.oid::regclass::text, 's', pg_get_viewdef(c.oid), 'sql', NULL, NULL, d.functions, d.relations
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  SELECT array_agg(refobjid) FILTER (WHERE refclassid = 'pg_proc'::regclass) AS functions,
         array_agg(refobjid) FILTER (WHERE refclassid = 'pg_class'::regclass) AS relations
  FROM pg_catalog.pg_depend
  JOIN pg_catalog.pg_rewrite AS r ON classid = 'pg_rewrite'::regclass AND objid = r.oid
  WHERE r.ev_class = c.oid
) AS d
WHERE c.oid >= 16384 AND c.relkind = 'v'
  AND (c.oid = ANY ($6::oid[])
       OR EXISTS (SELECT FROM unnest($3::text[], $4::text[]) AS named (schema, word)
                  WHERE named.word = c.relname
                    AND (named.schema = n.nspname OR named.schema = '' AND pg_table_is_visible(c.oid))))
ORDER BY kind, name, oid
