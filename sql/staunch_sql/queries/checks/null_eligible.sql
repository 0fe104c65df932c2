-- Counts the rows of a view that do not say whether they belong to the population.
SELECT count(*)::bigint AS nulls
FROM (
{statement}
) AS packed
WHERE packed._eligible IS NULL
