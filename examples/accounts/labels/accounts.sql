/* staunch
description = "The account was cancelled within the last month."
*/
SELECT
  u.key AS account_id,
  t.cancelled AS cancelled
FROM unnest($1::text[]) AS u (key)
JOIN app.accounts AS t ON t.account_id = u.key
