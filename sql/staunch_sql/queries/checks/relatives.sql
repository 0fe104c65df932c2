-- Lists by what else the rows of a table ($1) can be read: its partitions and children, what it is a part of, and the
-- views and materialized views over any of them, with what each uses of these.
WITH RECURSIVE below (oid) AS (
  SELECT $1::oid
  UNION
  SELECT i.inhrelid FROM below JOIN pg_catalog.pg_inherits AS i ON i.inhparent = below.oid
),
above (oid) AS (
  SELECT $1::oid
  UNION
  SELECT i.inhparent FROM above JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = above.oid
),
readers (oid) AS (
  (SELECT oid FROM below UNION SELECT oid FROM above)
  UNION
  SELECT r.ev_class
  FROM readers
  JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = readers.oid
  JOIN pg_catalog.pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
)
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       (CASE WHEN c.oid = $1::oid THEN 'itself'
             WHEN c.oid IN (SELECT oid FROM below) THEN 'part'
             WHEN c.oid IN (SELECT oid FROM above) THEN 'whole'
             ELSE 'reader' END)::text AS how,
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text[] AS columns,
       ARRAY(SELECT DISTINCT d.refobjid
             FROM pg_catalog.pg_rewrite AS r
             JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
             WHERE r.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid)::oid[] AS uses
FROM readers
JOIN pg_catalog.pg_class AS c USING (oid)
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY 2, 3
