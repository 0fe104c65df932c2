-- Notes that the simulated world is complete up to a time.
UPDATE simulation.worlds
SET until = $2::timestamptz, settings = $3::text::jsonb, finished_at = clock_timestamp()
WHERE seed = $1::bigint;
