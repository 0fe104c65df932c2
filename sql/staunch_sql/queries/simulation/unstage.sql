-- Drops what `simulation/stage` made.
DROP TABLE simulation.changed_customers, simulation.changed_customer_addresses, simulation.changed_subscriptions,
  simulation.changed_subscription_terms, simulation.changed_transactions, simulation.changed_support_tickets;
