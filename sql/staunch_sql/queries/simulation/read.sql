-- Reads what is known of the simulated world.
SELECT seed::bigint AS seed, customers::bigint AS customers, generator_version::int AS generator_version,
       origin::timestamptz AS origin, until::timestamptz AS until, settings::text AS settings,
       finished_at::timestamptz AS finished_at
FROM simulation.worlds
ORDER BY seed
LIMIT 1;
