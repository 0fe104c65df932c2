-- Lists for each customer who is active at $1 the sum of the true hazard over the horizon that ends at $2,
-- a month counting by its part of the horizon, the hazard of $1's own month, and whether they then were gone
-- of their own will. Who ended for another reason is left out. What is recorded later counts too.
WITH active AS (
  SELECT s.customer_id
  FROM staunch.subscriptions AS s
  WHERE s.superseded_at = 'infinity' AND s.started_at <= $1::timestamptz
    AND (s.ended_at IS NULL OR s.ended_at > $1::timestamptz)
  GROUP BY s.customer_id
), outcomes AS (
  SELECT s.customer_id,
         bool_or(s.ended_at IS NULL OR s.ended_at > $2::timestamptz) AS stays,
         (array_agg(s.end_reason ORDER BY s.ended_at DESC NULLS FIRST))[1] AS last_reason
  FROM staunch.subscriptions AS s
  JOIN active AS a ON a.customer_id = s.customer_id
  WHERE s.superseded_at = 'infinity' AND s.started_at <= $2::timestamptz
  GROUP BY s.customer_id
), risks AS (
  SELECT h.customer_id,
         sum(h.hazard * date_part('epoch',
           least(m.ends, $2::timestamptz) - greatest(m.begins, $1::timestamptz))
           / date_part('epoch', m.ends - m.begins)) AS risk,
         coalesce(sum(h.hazard) FILTER (WHERE m.begins <= $1::timestamptz), 0) AS known
  FROM simulation.hazards AS h
  CROSS JOIN LATERAL (SELECT h.month::timestamp AT TIME ZONE 'UTC' AS begins,
                             (h.month + interval '1 month') AT TIME ZONE 'UTC' AS ends) AS m
  WHERE m.begins < $2::timestamptz AND m.ends > $1::timestamptz
  GROUP BY h.customer_id
)
SELECT array_agg(coalesce(r.risk, 0)::float8 ORDER BY o.customer_id) AS risks,
       array_agg(coalesce(r.known, 0)::float8 ORDER BY o.customer_id) AS known,
       array_agg((NOT o.stays)::boolean ORDER BY o.customer_id) AS left_us
FROM outcomes AS o
LEFT JOIN risks AS r ON r.customer_id = o.customer_id
WHERE o.stays OR o.last_reason = 'voluntary';
