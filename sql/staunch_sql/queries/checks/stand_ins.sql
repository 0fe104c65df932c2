-- Runs a feature view with something else in place of tables that it reads.
WITH {stand_ins}
SELECT * FROM (
{statement}
) AS seen
