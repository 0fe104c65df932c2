-- Tells whether there is no customer yet, simulated or real.
SELECT NOT EXISTS (SELECT FROM staunch.customers)::boolean AS empty;
