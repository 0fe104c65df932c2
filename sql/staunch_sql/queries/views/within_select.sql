-- Stands around a view's text to see that it only reads: what writes cannot stand within a SELECT.
SELECT reading.*
FROM (
{statement}
) AS reading
