/* staunch
description = "The customer leaves of their own will within the outcome window and is still gone at its end."
horizon_days = 90
gap_days = 0
observation_days = 365
# Who is judged: who had a live subscription at t and in truth still had one when the window opened; an end
# before that, recorded too late for the features, is the past and not the future.
# True: no live subscription when the window closes, and the last to end did so 'voluntary'.
# Win-backs: who left and has a live subscription again when the window closes has stayed; who comes back
# later has left.
# Left out, not false: who is gone for another reason (non_payment, moved, deceased), since their will is
# not known, and whoever has been erased.
# _group: the person. Several customer ids of one given name, family name and birth date are one person, so
# that a split by group never has a person on both sides. Erasing one id overwrites its names and leaves its
# birth date; so where any id of a birth date has been erased, by now, all of that date are one group.
*/
SELECT
  u.id AS customer_id,
  (s.live_at_close = 0)::boolean AS churned,
  md5(CASE
    WHEN c.birth_date IN (SELECT e.birth_date FROM staunch.customers AS e WHERE e.erased_at IS NOT NULL)
      THEN c.birth_date::text
    ELSE concat_ws('|', lower(c.given_name), lower(c.family_name), c.birth_date::text)
  END)::text AS _group
FROM unnest($1::bigint[]) AS u (id)
JOIN staunch.customers AS c ON c.customer_id = u.id AND (c.erased_at > $4::timestamptz) IS NOT FALSE
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE started_at <= $2::timestamptz AND (ended_at > $3::timestamptz) IS NOT FALSE) AS live_at_open,
    count(*) FILTER (WHERE (ended_at > $4::timestamptz) IS NOT FALSE) AS live_at_close,
    (array_agg(end_reason ORDER BY ended_at DESC, end_reason DESC) FILTER (WHERE ended_at <= $4::timestamptz))[1] AS last_reason
  FROM staunch.subscriptions
  WHERE customer_id = u.id AND started_at <= $4::timestamptz AND superseded_at = 'infinity'
) AS s
WHERE s.live_at_open > 0 AND (s.live_at_close > 0 OR s.last_reason = 'voluntary')
