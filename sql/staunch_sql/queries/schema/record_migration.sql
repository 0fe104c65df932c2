-- Remembers a migration that has just been applied.
INSERT INTO staunch.schema_migrations (version, name, sha256)
VALUES ($1::int, $2::text, $3::text);
