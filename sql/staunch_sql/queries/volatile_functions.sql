-- Names those of the given functions that may answer differently each time they are called.
SELECT DISTINCT p.proname::text AS name
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.provolatile = 'v'
  AND (p.proname = ANY ($1::text[]) AND pg_catalog.pg_function_is_visible(p.oid)
       OR n.nspname || '.' || p.proname = ANY ($1::text[]))
ORDER BY name
