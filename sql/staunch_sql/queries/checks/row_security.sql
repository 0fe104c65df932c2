-- Says of what a role ($3; null is who asks) reads ($1, of which $2 by name) where row-level security applies, to
-- whom, and whether any policy lets that role see rows. Below a view of the database it applies to the view's owner, unless the
-- view is a security invoker; parts of a table are read by the rules of the whole.
WITH RECURSIVE used AS (
  SELECT DISTINCT r.ev_class AS viewer, d.refobjid AS oid
  FROM pg_catalog.pg_rewrite AS r
  JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class AND v.relkind = 'v'
  WHERE r.ev_class = ANY ($1::oid[]) AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1::oid[])
    AND d.refobjid <> r.ev_class
),
read (oid, reader, viewer) AS (
  SELECT named.oid,
         coalesce($3::oid, (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)), NULL::oid
  FROM unnest($1::oid[]) AS named (oid)
  WHERE named.oid = ANY ($2::oid[]) OR NOT EXISTS (SELECT FROM used WHERE used.oid = named.oid)
  UNION
  SELECT used.oid,
         CASE WHEN EXISTS (SELECT FROM pg_options_to_table(v.reloptions) AS o
                           WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
              THEN read.reader ELSE v.relowner END,
         v.oid
  FROM read
  JOIN pg_catalog.pg_class AS v ON v.oid = read.oid
  JOIN used ON used.viewer = v.oid
)
SELECT DISTINCT n.nspname::text AS schema, c.relname::text AS name, r.rolname::text AS reader,
       (r.rolname = current_user)::boolean AS is_own,
       (CASE WHEN read.viewer IS NOT NULL THEN format('%s.%s', vn.nspname, v.relname) END)::text AS viewer,
       EXISTS (SELECT FROM pg_catalog.pg_policy AS p
               WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
                 AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS member (oid)
                                                      WHERE member.oid <> 0 AND pg_has_role(r.oid, member.oid, 'USAGE')))
       )::boolean AS has_policy
FROM read
JOIN pg_catalog.pg_class AS c ON c.oid = read.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles AS r ON r.oid = read.reader
LEFT JOIN pg_catalog.pg_class AS v ON v.oid = read.viewer
LEFT JOIN pg_catalog.pg_namespace AS vn ON vn.oid = v.relnamespace
WHERE c.relrowsecurity
  AND (CASE WHEN r.rolname = current_user THEN row_security_active(c.oid)
            -- As row_security_active decides, of whom it cannot be asked.
            ELSE NOT r.rolsuper AND NOT r.rolbypassrls
                 AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE')) END)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i JOIN read AS whole ON whole.oid = i.inhparent
                  WHERE i.inhrelid = c.oid AND c.oid <> ALL ($2::oid[]))
ORDER BY 1, 2, 3
