-- Brings to rows what has become known of them since: that they ended, were solved, rated, superseded, erased.
UPDATE staunch.customers AS t
SET given_name = c.given_name, family_name = c.family_name, email = c.email, erased_at = c.erased_at
FROM simulation.changed_customers AS c
WHERE t.customer_id = c.customer_id;

UPDATE staunch.customer_addresses AS t
SET superseded_at = c.superseded_at
FROM simulation.changed_customer_addresses AS c
WHERE t.customer_id = c.customer_id AND t.address_id = c.address_id;

UPDATE staunch.subscriptions AS t
SET ended_at = c.ended_at, ended_recorded_at = c.ended_recorded_at, end_reason = c.end_reason,
    superseded_at = c.superseded_at
FROM simulation.changed_subscriptions AS c
WHERE t.customer_id = c.customer_id AND t.subscription_id = c.subscription_id;

UPDATE staunch.subscription_terms AS t
SET superseded_at = c.superseded_at
FROM simulation.changed_subscription_terms AS c
WHERE t.customer_id = c.customer_id AND t.subscription_id = c.subscription_id AND t.term_id = c.term_id;

UPDATE staunch.transactions AS t
SET superseded_at = c.superseded_at
FROM simulation.changed_transactions AS c
WHERE t.customer_id = c.customer_id AND t.transaction_id = c.transaction_id;

UPDATE staunch.support_tickets AS t
SET resolved_at = c.resolved_at, resolved_recorded_at = c.resolved_recorded_at, satisfaction = c.satisfaction,
    rated_at = c.rated_at, rated_recorded_at = c.rated_recorded_at, superseded_at = c.superseded_at
FROM simulation.changed_support_tickets AS c
WHERE t.customer_id = c.customer_id AND t.ticket_id = c.ticket_id;

TRUNCATE simulation.changed_customers, simulation.changed_customer_addresses, simulation.changed_subscriptions,
  simulation.changed_subscription_terms, simulation.changed_transactions, simulation.changed_support_tickets;
