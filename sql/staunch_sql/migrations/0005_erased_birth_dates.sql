-- The birth dates of whom the churn label can no longer tell by name: few, so it need not read all customers for them.
CREATE INDEX customers_erased ON staunch.customers (birth_date) WHERE erased_at IS NOT NULL;
