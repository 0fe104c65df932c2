-- Says of each column of a table what it holds: its type below all domains, nulls, labels of an enum, comment.
WITH RECURSIVE below AS (
  SELECT a.attnum, t.oid, t.typtype, t.typbasetype, t.typnotnull, a.attnotnull OR t.typnotnull AS never_null
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT below.attnum, t.oid, t.typtype, t.typbasetype, t.typnotnull, below.never_null OR t.typnotnull
  FROM below
  JOIN pg_catalog.pg_type AS t ON t.oid = below.typbasetype
  WHERE below.typtype = 'd'
)
SELECT a.attname::text AS name, quote_ident(a.attname)::text AS sql,
       t.typname::text AS type, t.typcategory::text AS category,
       format_type(a.atttypid, a.atttypmod)::text AS declared,
       below.never_null AS never_null,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable,
       ARRAY(SELECT e.enumlabel FROM pg_catalog.pg_enum AS e
             WHERE e.enumtypid = below.oid ORDER BY e.enumsortorder)::text[] AS labels,
       coalesce((SELECT f.confrelid::regclass::text FROM pg_catalog.pg_constraint AS f
                 WHERE f.conrelid = a.attrelid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum] LIMIT 1), '')::text
         AS refers_to,
       coalesce(col_description(a.attrelid, a.attnum), '')::text AS comment
FROM pg_catalog.pg_attribute AS a
JOIN below ON below.attnum = a.attnum AND below.typtype <> 'd'
JOIN pg_catalog.pg_type AS t ON t.oid = below.oid
WHERE a.attrelid = $1::bigint::oid
ORDER BY a.attnum
