-- Finds the first and the last moment of a time column up to a moment; what is planned for later says nothing, nor does
-- what no calendar in Python holds.
SELECT min({moment}) AS first, max({moment}) AS last
FROM {table} AS sampled {sampling}
WHERE {moment} <= $1::timestamptz AND {moment} >= '0001-01-01Z'::timestamptz
