-- The one table of the accounts example: what an application keeps of a customer as one document, and whether he left.
CREATE SCHEMA app;

CREATE TABLE app.accounts (
  account_id text PRIMARY KEY,
  opened_on date NOT NULL,
  seats integer NOT NULL,
  profile jsonb NOT NULL,
  cancelled boolean NOT NULL
);

-- 4,000 accounts; who logs in seldom, has no one to answer and pays by the month cancels sooner.
SET seed = 0.42;
CREATE TEMPORARY TABLE drawn AS
SELECT n, random() AS habit, random() AS paying, random() AS opened, random() AS luck
FROM generate_series(1, 4000) AS n;

INSERT INTO app.accounts
SELECT 'A-' || lpad(n::text, 5, '0'), date '2025-06-30' - (1400 * opened)::int, seats,
       jsonb_build_object(
         'plan', jsonb_build_object('tier', tier, 'yearly', yearly),
         'usage', jsonb_build_object('logins_30d', logins, 'last_export', CASE WHEN habit > 0.5 THEN 'csv' END),
         'languages', CASE WHEN n % 3 = 0 THEN '["en", "fr"]'::jsonb ELSE '["en"]' END)
       -- Most have said whether they want letters; of the others the document says nothing.
       || CASE WHEN n % 5 > 0 THEN jsonb_build_object('newsletter', n % 2 = 0) ELSE '{}' END,
       luck < 1 / (1 + exp(1.2 + 0.12 * logins - 1.5 * (NOT yearly)::int + 0.1 * seats))
FROM drawn,
  LATERAL (SELECT (30 * habit * habit)::int AS logins, paying > 0.6 AS yearly, 1 + (12 * paying * habit)::int AS seats,
                  (ARRAY['free', 'team', 'business'])[1 + (2.9 * paying)::int % 3] AS tier) AS life;

VACUUM ANALYZE app.accounts;
GRANT USAGE ON SCHEMA app TO staunch_reader;
GRANT SELECT ON app.accounts TO staunch_reader;
