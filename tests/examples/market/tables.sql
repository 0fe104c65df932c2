-- A marketplace: 1,200 buyers of the last two years by uuid, their orders, some of them recorded days later.
CREATE SCHEMA market;
CREATE TABLE market.buyers (
  buyer_key uuid PRIMARY KEY,
  household uuid NOT NULL,
  signed_up_at timestamptz NOT NULL
);
CREATE TABLE market.orders (
  buyer_key uuid NOT NULL REFERENCES market.buyers,
  ordered_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL,
  amount_cents bigint NOT NULL
);
CREATE FUNCTION pg_temp.key(text) RETURNS uuid LANGUAGE sql AS $$ SELECT md5($1)::uuid $$;
SET seed = 0.1;
CREATE TEMPORARY TABLE habits AS
SELECT n, 10 + 80 * random() AS every_days, timestamptz '2024-01-01Z' + random() * interval '600 days' AS since
FROM generate_series(1, 1200) AS n;

INSERT INTO market.buyers SELECT pg_temp.key('buyer ' || n), pg_temp.key('household ' || n / 2), since FROM habits;

INSERT INTO market.orders
SELECT pg_temp.key('buyer ' || n), at, at + CASE WHEN random() < 0.2 THEN 5 ELSE 0 END * interval '1 day',
       1000 + (20000 / every_days)::bigint
FROM habits, generate_series(since, timestamptz '2026-01-01Z', every_days * interval '1 day') AS t,
  LATERAL (SELECT t + random() * every_days * 0.5 * interval '1 day' AS at) AS jittered
WHERE at <= timestamptz '2026-01-01Z';

CREATE INDEX ON market.orders (buyer_key, ordered_at) INCLUDE (recorded_at, amount_cents);
GRANT USAGE ON SCHEMA market TO staunch_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA market TO staunch_reader;
ANALYZE market.buyers, market.orders;
