-- Lists the postal prefixes that simulated addresses are drawn from.
SELECT postal_prefix::text AS postal_prefix, province_code::text AS province_code
FROM staunch.postal_prefixes
ORDER BY province_code COLLATE "C", postal_prefix COLLATE "C";
