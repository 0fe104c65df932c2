-- Lists the constraints and indexes of the simulated tables, with the statements that drop and remake each,
-- in the order of remaking: keys, other indexes, exclusions, foreign keys. Checks stay.
WITH tables AS (
  SELECT unnest(ARRAY[
    'staunch.customers', 'staunch.customer_addresses', 'staunch.subscriptions', 'staunch.subscription_terms',
    'staunch.transactions', 'staunch.support_tickets', 'simulation.hazards']::regclass[]) AS relation
)
SELECT conname::text AS name,
       format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)::text AS drop_statement,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
              pg_get_constraintdef(oid))::text AS make_statement,
       CASE contype WHEN 'p' THEN 0 WHEN 'u' THEN 1 WHEN 'x' THEN 3 ELSE 4 END::int AS step
FROM pg_constraint
WHERE contype IN ('p', 'u', 'x', 'f')
  AND (conrelid IN (SELECT relation FROM tables) OR confrelid IN (SELECT relation FROM tables))
UNION ALL
SELECT indexrelid::regclass::text, format('DROP INDEX %s', indexrelid::regclass)::text,
       pg_get_indexdef(indexrelid)::text, 2
FROM pg_index
WHERE indrelid IN (SELECT relation FROM tables)
  AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = indexrelid AND c.contype IN ('p', 'u', 'x'))
ORDER BY 4, 1;
