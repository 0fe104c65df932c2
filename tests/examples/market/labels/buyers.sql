/* staunch
description = "The buyer orders within the outcome window."
horizon_days = 21
gap_days = 7
observation_days = 90
*/
SELECT
  b.buyer_key,
  EXISTS (
    SELECT FROM market.orders AS o
    WHERE o.buyer_key = b.buyer_key AND o.ordered_at > $3::timestamptz AND o.ordered_at <= $4::timestamptz
  ) AS orders_again,
  b.household::text AS _group
FROM unnest($1::uuid[]) AS u (buyer_key)
JOIN market.buyers AS b ON b.buyer_key = u.buyer_key
WHERE b.signed_up_at <= $2::timestamptz
