-- Waits until no other migration runs on this database; the lock ends with the session or the unlock.
SELECT pg_advisory_lock(hashtext('staunch.schema_migrations')::bigint)::text AS locked;
