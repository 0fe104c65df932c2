-- Lets the next migration run.
SELECT pg_advisory_unlock(hashtext('staunch.schema_migrations')::bigint)::boolean AS unlocked;
