-- Lists what leaving early may cost at most, with the time during which each rule holds.
SELECT service::text AS service, province_code::text AS province_code, subsidy_months::int AS subsidy_months,
       open_ended_subsidy_months::int AS open_ended_subsidy_months, plain_cap_cents::bigint AS plain_cap_cents,
       plain_percent::int AS plain_percent, plain_months::int AS plain_months,
       valid_from::timestamptz AS valid_from, valid_to::timestamptz AS valid_to
FROM staunch.cancellation_rules
ORDER BY rule_code COLLATE "C", service COLLATE "C", valid_from;
