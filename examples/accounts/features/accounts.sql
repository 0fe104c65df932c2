/* staunch
description = "An account of an application, as one table and the document in it know it; there are no dates."
entity = "account"
population = "SELECT t.account_id FROM app.accounts AS t ORDER BY 1"
rules = ["Days are counted to 2025-06-30, the last day that the table knows."]

[features]
days_since_opened_on = { title = "Age of the account", unit = "days", description = "Days that the account has existed on 2025-06-30.", source = ["accounts.opened_on"], null = "never", range = [0, inf] }
seats = { title = "Seats", unit = "people", description = "How many may use the account.", source = ["accounts.seats"], null = "never", range = [0, inf] }
profile_plan_tier = { title = "Plan", description = "The plan: 1 business, 2 free, 3 team.", source = ["accounts.profile"], null = "missing, or a plan without a number here", labels = { 1 = "business", 2 = "free", 3 = "team" } }
profile_plan_yearly = { title = "Pays by the", description = "1 if paid by the year, 0 if by the month.", source = ["accounts.profile"], null = "missing", labels = { 0 = "month", 1 = "year" } }
profile_usage_logins_30d = { title = "Logins, 30 days", unit = "logins", description = "Logins in the last 30 days.", source = ["accounts.profile"], null = "missing", range = [0, inf] }
profile_usage_last_export = { title = "Last export was a csv", description = "1 if the last export was a csv.", source = ["accounts.profile"], null = "nothing was exported, or something else", labels = { 1 = "yes" } }
profile_languages = { title = "Languages set", unit = "languages", description = "How many languages are set.", source = ["accounts.profile"], null = "missing", range = [0, inf] }
profile_newsletter = { title = "Wants the newsletter", description = "1 if letters are wanted, 0 if not.", source = ["accounts.profile"], null = "nobody asked", labels = { 0 = "no", 1 = "yes" } }
*/
SELECT
  u.key AS account_id,
  (DATE '2025-06-30' - t.opened_on)::float8 AS days_since_opened_on,
  t.seats::float8 AS seats,
  (CASE (t.profile -> 'plan' ->> 'tier') WHEN 'business' THEN 1 WHEN 'free' THEN 2 WHEN 'team' THEN 3 END)::float8 AS profile_plan_tier,
  (CASE (t.profile -> 'plan' ->> 'yearly') WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)::float8 AS profile_plan_yearly,
  (CASE jsonb_typeof(t.profile -> 'usage' -> 'logins_30d') WHEN 'number' THEN (t.profile -> 'usage' ->> 'logins_30d')::float8 END)::float8 AS profile_usage_logins_30d,
  (CASE (t.profile -> 'usage' ->> 'last_export') WHEN 'csv' THEN 1 END)::float8 AS profile_usage_last_export,
  (CASE jsonb_typeof(t.profile -> 'languages') WHEN 'array' THEN jsonb_array_length(t.profile -> 'languages') END)::float8 AS profile_languages,
  (CASE (t.profile ->> 'newsletter') WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)::float8 AS profile_newsletter
FROM unnest($1::text[]) AS u (key)
JOIN app.accounts AS t ON t.account_id = u.key
