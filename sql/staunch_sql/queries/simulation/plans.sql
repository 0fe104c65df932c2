-- Lists the plans that simulated customers choose from, by service and rising tier.
SELECT plan_code::text AS plan_code, service::text AS service
FROM staunch.plans
ORDER BY service COLLATE "C", tier, plan_code COLLATE "C";
