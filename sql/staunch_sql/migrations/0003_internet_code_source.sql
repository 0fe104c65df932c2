-- Says where the Internet Code's cancellation terms come from: its date, its 24 months and the ban of 2026 are
-- the CRTC's own words; the amounts before that ban are taken over from the Wireless Code and not checked.

UPDATE staunch.cancellation_rules
SET source = source || '; amounts as in the Wireless Code, to be checked against the text'
WHERE rule_code = 'internet_code' AND valid_from = '2020-01-31'::timestamp AT TIME ZONE 'UTC';
