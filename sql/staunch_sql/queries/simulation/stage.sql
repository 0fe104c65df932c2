-- Makes room for the rows of a block that change, beside the tables themselves; dropped by `simulation/unstage`.
CREATE TABLE simulation.changed_customers AS TABLE staunch.customers WITH NO DATA;
CREATE TABLE simulation.changed_customer_addresses AS TABLE staunch.customer_addresses WITH NO DATA;
CREATE TABLE simulation.changed_subscriptions AS TABLE staunch.subscriptions WITH NO DATA;
CREATE TABLE simulation.changed_subscription_terms AS TABLE staunch.subscription_terms WITH NO DATA;
CREATE TABLE simulation.changed_transactions AS TABLE staunch.transactions WITH NO DATA;
CREATE TABLE simulation.changed_support_tickets AS TABLE staunch.support_tickets WITH NO DATA;
