-- Empties the tables that the simulated world fills, so that its first rows can be loaded frozen.
TRUNCATE staunch.customers, staunch.customer_addresses, staunch.subscriptions, staunch.subscription_terms,
  staunch.transactions, staunch.support_tickets, simulation.hazards;
