-- Refreshes statistics and the visibility map, so that index-only scans are that.
VACUUM (ANALYZE) staunch.customers, staunch.customer_addresses, staunch.subscriptions, staunch.subscription_terms,
  staunch.transactions, staunch.support_tickets, simulation.hazards;
