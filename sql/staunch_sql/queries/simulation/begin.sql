-- Notes that a simulated world is being written: until it is finished, it counts for nothing.
INSERT INTO simulation.worlds (seed, customers, generator_version, origin, until, settings, finished_at)
VALUES ($1::bigint, $2::bigint, $3::int, $4::timestamptz, $5::timestamptz, $6::text::jsonb, NULL)
ON CONFLICT (seed) DO UPDATE SET
  customers = excluded.customers, generator_version = excluded.generator_version, origin = excluded.origin,
  until = excluded.until, settings = excluded.settings, finished_at = NULL;
