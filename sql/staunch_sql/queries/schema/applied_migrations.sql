-- Lists the migrations that were applied, in order.
SELECT version::int AS version, name::text AS name, sha256::text AS sha256
FROM staunch.schema_migrations
ORDER BY version;
