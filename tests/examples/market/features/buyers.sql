/* staunch
description = "A buyer of the marketplace and what they ordered, as recorded at a moment."
entity = "buyer"
population = "SELECT buyer_key FROM market.buyers ORDER BY buyer_key"
[time_columns]
"market.buyers" = ["signed_up_at"]
"market.orders" = ["ordered_at", "recorded_at"]
[features]
buyer_days = { unit = "days", description = "Days since the buyer signed up.", null = "never" }
orders_90d = { description = "Orders.", source = ["market.orders.ordered_at"], window = "90 days", null = "never" }
spent_90d = { unit = "CAD", description = "Sum of the orders.", source = ["market.orders.amount_cents"], window = "90 days", null = "never" }
days_since_order = { unit = "days", description = "Days since the last order.", source = ["market.orders.ordered_at"], null = "no order" }
*/
SELECT
  b.buyer_key,
  (extract(epoch FROM $2::timestamptz - b.signed_up_at) / 86400)::float8 AS buyer_days,
  o.orders_90d::float8 AS orders_90d,
  (o.cents_90d / 100.0)::float8 AS spent_90d,
  (extract(epoch FROM $2::timestamptz - o.last_at) / 86400)::float8 AS days_since_order
FROM unnest($1::uuid[]) AS u (buyer_key)
JOIN market.buyers AS b ON b.buyer_key = u.buyer_key AND b.signed_up_at <= $2::timestamptz
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE ordered_at > $2::timestamptz - interval '90 days') AS orders_90d,
    coalesce(sum(amount_cents) FILTER (WHERE ordered_at > $2::timestamptz - interval '90 days'), 0) AS cents_90d,
    max(ordered_at) AS last_at
  FROM market.orders AS o
  WHERE o.buyer_key = b.buyer_key AND o.ordered_at <= $2::timestamptz AND o.recorded_at <= $2::timestamptz
) AS o
