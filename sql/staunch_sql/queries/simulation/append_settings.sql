-- Settings of the transaction that appends days: changes are few, so rows are found by their keys.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
