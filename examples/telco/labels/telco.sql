/* staunch
description = "The customer left within the last month."
# The file knows one moment only: no horizon, no gap, no as-of time.
horizon_days = 0
gap_days = 0
observation_days = 0
*/
SELECT
  c.customer_id,
  c.churn AS left_us
FROM unnest($1::text[]) AS u (customer_id)
JOIN telco.customers AS c USING (customer_id)
