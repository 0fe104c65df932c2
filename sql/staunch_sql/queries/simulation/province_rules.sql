-- Lists each province's tax rates and ages of majority by the time since which they hold.
SELECT province_code::text AS province_code, rule::text AS rule, value::float8 AS value,
       valid_from::timestamptz AS valid_from
FROM staunch.province_rules
WHERE rule IN ('tax_rate', 'age_of_majority')
ORDER BY province_code COLLATE "C", rule COLLATE "C", valid_from;
