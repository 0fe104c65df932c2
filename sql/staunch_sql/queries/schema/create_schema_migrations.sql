-- Makes the table that remembers which migrations were applied.
CREATE SCHEMA IF NOT EXISTS staunch;
CREATE TABLE IF NOT EXISTS staunch.schema_migrations (
  version    int         PRIMARY KEY CHECK (version >= 1),
  name       text        NOT NULL,
  sha256     text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
