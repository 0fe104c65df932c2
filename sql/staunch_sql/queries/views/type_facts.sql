-- Says of a type ($1) what kind it is and what it is made of, and how a column ($2) is written.
SELECT t.typname::text AS name, format_type(t.oid, NULL)::text AS sql, t.typcategory::text AS category,
       quote_ident($2::text)::text AS column,
       (SELECT e.typcategory FROM pg_catalog.pg_type AS e WHERE e.oid = t.typelem)::text AS element,
       (SELECT e.typname FROM pg_catalog.pg_type AS e WHERE e.oid = t.typelem)::text AS element_name,
       (SELECT quote_literal(l.enumlabel) FROM pg_catalog.pg_enum AS l
        WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder LIMIT 1)::text AS label,
       (SELECT s.typname FROM pg_catalog.pg_range AS r JOIN pg_catalog.pg_type AS s ON s.oid = r.rngsubtype
        WHERE t.oid IN (r.rngtypid, r.rngmultitypid))::text AS bound,
       -- A number if there is one.
       (SELECT quote_ident(a.attname) FROM pg_catalog.pg_attribute AS a
        JOIN pg_catalog.pg_type AS f ON f.oid = a.atttypid
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY f.typcategory <> 'N', a.attnum LIMIT 1)::text AS field
FROM pg_catalog.pg_type AS t
WHERE t.oid = $1::oid
