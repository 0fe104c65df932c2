-- Finds a moment in the middle of a time column, up to $1, so that rows lie on both sides of it: just before it where
-- all rows are of one moment, and $1 itself where all are later. Says also how many rows were looked at, how many of
-- them have a time and how many one without end.
WITH sampled AS MATERIALIZED (
  SELECT {moment} AS moment
  FROM {table} AS sampled {sampling}
),
middle AS (
  SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY moment) AS moment
  FROM sampled
  -- What no calendar in Python holds is as good as none.
  WHERE moment > '0001-01-01Z'::timestamptz AND moment <= $1::timestamptz
)
SELECT (CASE WHEN later.than_middle THEN middle.moment
             WHEN middle.moment IS NOT NULL THEN middle.moment - interval '1 microsecond'
             WHEN later.than_now THEN $1::timestamptz END)::timestamptz AS middle,
       counted.rows, counted.known, counted.endless
FROM middle
CROSS JOIN LATERAL (
  SELECT coalesce(bool_or(sampled.moment > middle.moment), false) AS than_middle,
         coalesce(bool_or(sampled.moment > $1::timestamptz), false) AS than_now
  FROM sampled
) AS later
CROSS JOIN (
  SELECT count(*)::bigint AS rows, count(moment)::bigint AS known,
         (count(*) FILTER (WHERE moment = 'infinity'::timestamptz))::bigint AS endless
  FROM sampled
) AS counted
