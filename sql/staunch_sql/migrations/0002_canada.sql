-- Canada: provinces, postal letters, tax, age, cancellation rules, each with its dates and its source,
-- and the functions that feature views call. A registry for reading is docs/canada.md. No legal advice.
--
-- A day is a UTC day: what takes effect on a date does so at midnight UTC of that date.
-- The registry of tax and age begins on 2010-01-01; before that a look-up finds nothing.

INSERT INTO staunch.provinces (province_code, name_en, name_fr) VALUES
  ('AB', 'Alberta',                   'Alberta'),
  ('BC', 'British Columbia',          'Colombie-Britannique'),
  ('MB', 'Manitoba',                  'Manitoba'),
  ('NB', 'New Brunswick',             'Nouveau-Brunswick'),
  ('NL', 'Newfoundland and Labrador', 'Terre-Neuve-et-Labrador'),
  ('NS', 'Nova Scotia',               'Nouvelle-Écosse'),
  ('NT', 'Northwest Territories',     'Territoires du Nord-Ouest'),
  ('NU', 'Nunavut',                   'Nunavut'),
  ('ON', 'Ontario',                   'Ontario'),
  ('PE', 'Prince Edward Island',      'Île-du-Prince-Édouard'),
  ('QC', 'Quebec',                    'Québec'),
  ('SK', 'Saskatchewan',              'Saskatchewan'),
  ('YT', 'Yukon',                     'Yukon');

-- Canada Post: one letter a province; Ontario and Quebec have several, the two territories of X share it.
INSERT INTO staunch.postal_prefixes (postal_prefix, province_code) VALUES
  ('A', 'NL'), ('B', 'NS'), ('C', 'PE'), ('E', 'NB'), ('G', 'QC'), ('H', 'QC'), ('J', 'QC'),
  ('K', 'ON'), ('L', 'ON'), ('M', 'ON'), ('N', 'ON'), ('P', 'ON'), ('R', 'MB'), ('S', 'SK'),
  ('T', 'AB'), ('V', 'BC'), ('Y', 'YT'),
  ('X0E', 'NT'), ('X0G', 'NT'), ('X1A', 'NT'), ('X0A', 'NU'), ('X0B', 'NU'), ('X0C', 'NU');

-- Sales tax on telecommunications, federal and provincial together, as a share of the price before tax.
INSERT INTO staunch.province_rules (province_code, rule, value, valid_from, valid_to, source)
SELECT v.province_code, 'tax_rate', v.rate, v.starts::timestamp AT TIME ZONE 'UTC',
       v.ends::timestamp AT TIME ZONE 'UTC', v.source
FROM (VALUES
  ('AB', 0.05,    '2010-01-01', 'infinity',   'Excise Tax Act: GST 5 %'),
  ('BC', 0.12,    '2010-01-01', '2010-07-01', 'Excise Tax Act: GST 5 %; Social Service Tax Act (BC): PST 7 %'),
  ('BC', 0.12,    '2010-07-01', '2013-04-01', 'Excise Tax Act: HST 12 %'),
  ('BC', 0.12,    '2013-04-01', 'infinity',   'Excise Tax Act: GST 5 %; Provincial Sales Tax Act (BC): PST 7 %'),
  ('MB', 0.12,    '2010-01-01', '2013-07-01', 'Excise Tax Act: GST 5 %; Retail Sales Tax Act (MB): RST 7 %'),
  ('MB', 0.13,    '2013-07-01', '2019-07-01', 'Excise Tax Act: GST 5 %; Retail Sales Tax Act (MB): RST 8 %'),
  ('MB', 0.12,    '2019-07-01', 'infinity',   'Excise Tax Act: GST 5 %; Retail Sales Tax Act (MB): RST 7 %'),
  ('NB', 0.13,    '2010-01-01', '2016-07-01', 'Excise Tax Act: HST 13 %'),
  ('NB', 0.15,    '2016-07-01', 'infinity',   'Excise Tax Act: HST 15 %'),
  ('NL', 0.13,    '2010-01-01', '2016-07-01', 'Excise Tax Act: HST 13 %'),
  ('NL', 0.15,    '2016-07-01', 'infinity',   'Excise Tax Act: HST 15 %'),
  ('NS', 0.13,    '2010-01-01', '2010-07-01', 'Excise Tax Act: HST 13 %'),
  ('NS', 0.15,    '2010-07-01', '2025-04-01', 'Excise Tax Act: HST 15 %'),
  ('NS', 0.14,    '2025-04-01', 'infinity',   'Excise Tax Act: HST 14 %'),
  ('NT', 0.05,    '2010-01-01', 'infinity',   'Excise Tax Act: GST 5 %'),
  ('NU', 0.05,    '2010-01-01', 'infinity',   'Excise Tax Act: GST 5 %'),
  ('ON', 0.13,    '2010-01-01', '2010-07-01', 'Excise Tax Act: GST 5 %; Retail Sales Tax Act (ON): RST 8 %'),
  ('ON', 0.13,    '2010-07-01', 'infinity',   'Excise Tax Act: HST 13 %'),
  ('PE', 0.155,   '2010-01-01', '2013-04-01', 'Excise Tax Act: GST 5 %; Revenue Tax Act (PE): PST 10 % on the price with GST'),
  ('PE', 0.14,    '2013-04-01', '2016-10-01', 'Excise Tax Act: HST 14 %'),
  ('PE', 0.15,    '2016-10-01', 'infinity',   'Excise Tax Act: HST 15 %'),
  ('QC', 0.12875, '2010-01-01', '2011-01-01', 'Excise Tax Act: GST 5 %; Act respecting the Québec sales tax: QST 7.5 % on the price with GST'),
  ('QC', 0.13925, '2011-01-01', '2012-01-01', 'Excise Tax Act: GST 5 %; Act respecting the Québec sales tax: QST 8.5 % on the price with GST'),
  ('QC', 0.14975, '2012-01-01', '2013-01-01', 'Excise Tax Act: GST 5 %; Act respecting the Québec sales tax: QST 9.5 % on the price with GST'),
  ('QC', 0.14975, '2013-01-01', 'infinity',   'Excise Tax Act: GST 5 %; Act respecting the Québec sales tax: QST 9.975 %'),
  ('SK', 0.10,    '2010-01-01', '2017-03-23', 'Excise Tax Act: GST 5 %; Provincial Sales Tax Act (SK): PST 5 %'),
  ('SK', 0.11,    '2017-03-23', 'infinity',   'Excise Tax Act: GST 5 %; Provincial Sales Tax Act (SK): PST 6 %'),
  ('YT', 0.05,    '2010-01-01', 'infinity',   'Excise Tax Act: GST 5 %')
) AS v (province_code, rate, starts, ends, source);

INSERT INTO staunch.province_rules (province_code, rule, value, valid_from, source)
SELECT v.province_code, 'age_of_majority', v.age, '2010-01-01'::timestamp AT TIME ZONE 'UTC', v.source
FROM (VALUES
  ('AB', 18, 'Age of Majority Act (AB)'),   ('BC', 19, 'Age of Majority Act (BC)'),
  ('MB', 18, 'Age of Majority Act (MB)'),   ('NB', 19, 'Age of Majority Act (NB)'),
  ('NL', 19, 'Age of Majority Act (NL)'),   ('NS', 19, 'Age of Majority Act (NS)'),
  ('NT', 19, 'Age of Majority Act (NT)'),   ('NU', 19, 'Age of Majority Act (NU)'),
  ('ON', 18, 'Age of Majority and Accountability Act (ON)'), ('PE', 18, 'Age of Majority Act (PE)'),
  ('QC', 18, 'Civil Code of Québec, art. 153'), ('SK', 18, 'Age of Majority Act (SK)'),
  ('YT', 19, 'Age of Majority Act (YT)')
) AS v (province_code, age, source);

-- From this date the customer must hear at least so many days before a fixed-term contract ends.
INSERT INTO staunch.province_rules (province_code, rule, value, valid_from, source)
SELECT p.province_code, 'contract_end_notice_days', 90, '2027-04-13'::timestamp AT TIME ZONE 'UTC',
       'Telecom Regulatory Policy CRTC 2026-67'
FROM staunch.provinces AS p;

-- 1: who is subject to an automated decision may ask for the information used and the principal reasons.
INSERT INTO staunch.province_rules (province_code, rule, value, valid_from, source) VALUES
  ('QC', 'automated_decision_reasons', 1, '2023-09-22'::timestamp AT TIME ZONE 'UTC',
   'Act respecting the protection of personal information in the private sector (P-39.1), s. 12.1, by Law 25');

INSERT INTO staunch.cancellation_rules (rule_code, service, province_code, subsidy_months,
  open_ended_subsidy_months, plain_cap_cents, plain_percent, plain_months, valid_from, valid_to, source)
SELECT v.rule_code, v.service, v.province_code, v.subsidy_months, v.open_ended_subsidy_months,
       v.plain_cap_cents, v.plain_percent, v.plain_months,
       v.starts::timestamp AT TIME ZONE 'UTC', v.ends::timestamp AT TIME ZONE 'UTC', v.source
FROM (VALUES
  ('wireless_code', 'wireless', NULL, 24, 24, 5000, 10, 24, '2013-12-02', '2026-06-12',
   'Wireless Code, section G: Telecom Regulatory Policy CRTC 2013-271'),
  ('wireless_code', 'wireless', NULL, 24, 24, 0, 0, 24, '2026-06-12', 'infinity',
   'Wireless Code, section G, as amended by Telecom Regulatory Policy CRTC 2026-43'),
  ('internet_code', 'internet', NULL, 24, 24, 5000, 10, 24, '2020-01-31', '2026-06-12',
   'Internet Code, section G: Telecom Regulatory Policy CRTC 2019-269'),
  ('internet_code', 'internet', NULL, 24, 24, 0, 0, 24, '2026-06-12', 'infinity',
   'Internet Code, section G, as amended by Telecom Regulatory Policy CRTC 2026-43'),
  ('quebec_act', 'wireless', 'QC', NULL, 48, 5000, 10, NULL, '2010-06-30', 'infinity',
   'Consumer Protection Act (P-40.1), ss. 214.7 and 214.8; its regulation (r. 3), ss. 79.10 and 79.11'),
  ('quebec_act', 'internet', 'QC', NULL, 48, 5000, 10, NULL, '2010-06-30', 'infinity',
   'Consumer Protection Act (P-40.1), ss. 214.7 and 214.8; its regulation (r. 3), ss. 79.10 and 79.11'),
  ('quebec_act', 'tv', 'QC', NULL, 48, 5000, 10, NULL, '2010-06-30', 'infinity',
   'Consumer Protection Act (P-40.1), ss. 214.7 and 214.8; its regulation (r. 3), ss. 79.10 and 79.11')
) AS v (rule_code, service, province_code, subsidy_months, open_ended_subsidy_months,
        plain_cap_cents, plain_percent, plain_months, starts, ends, source);

INSERT INTO staunch.plans (plan_code, service, name_en, name_fr, tier) VALUES
  ('wireless_basic',     'wireless', 'Talk and Text',   'Voix et textos',     1),
  ('wireless_plus',      'wireless', 'Data 20',         'Données 20',         2),
  ('wireless_unlimited', 'wireless', 'Unlimited',       'Illimité',           3),
  ('internet_basic',     'internet', 'Internet 50',     'Internet 50',        1),
  ('internet_plus',      'internet', 'Internet 500',    'Internet 500',       2),
  ('internet_gigabit',   'internet', 'Internet Gigabit', 'Internet Gigabit',  3),
  ('tv_basic',           'tv',       'TV Basic',        'Télé de base',       1),
  ('tv_plus',            'tv',       'TV Choice',       'Télé à la carte',    2),
  ('tv_premium',         'tv',       'TV Premium',      'Télé privilège',     3);

-- Functions -----------------------------------------------------------------------------------
-- Each is one SELECT that PostgreSQL writes into the calling query: no call is left at run time. Those
-- that look something up return one row and stand in FROM; the others are plain expressions.

-- The months of a contract that have begun on a day; the one under way counts as elapsed, so the first
-- day gives 1. A month ends on the day before the same day of the next one, or on that month's last day.
CREATE FUNCTION staunch.months_elapsed(starts_on date, on_date date) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT (12 * (date_part('year', on_date) - date_part('year', starts_on))
          + date_part('month', on_date) - date_part('month', starts_on))::int
         + (date_part('day', on_date) >= least(date_part('day', starts_on),
              date_part('day', date_trunc('month', on_date::timestamp) + interval '1 month -1 day')))::int
$$;

-- The months until no fee for a subsidised device is left under the federal codes; below 0 after that.
CREATE FUNCTION staunch.months_to_24_month_mark(starts_on date, on_date date) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 24 - staunch.months_elapsed(starts_on, on_date) $$;

-- Whether something that ends on a day (the first day without it) still runs and ends within so many days.
CREATE FUNCTION staunch.ends_within(ends_on date, on_date date, days int) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(ends_on > on_date AND ends_on <= on_date + days, false) $$;

-- An amount with sales tax, in cents, not rounded.
CREATE FUNCTION staunch.with_tax_cents(amount_cents float8, tax_rate float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT amount_cents * (1 + tax_rate) $$;

-- Whether a postal code is rural: Canada Post puts a 0 second.
CREATE FUNCTION staunch.postal_code_is_rural(postal_code text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT substr(postal_code, 2, 1) = '0' $$;

-- Whether somebody has reached an age; who was born on 29 February has on 28 February of common years.
CREATE FUNCTION staunch.is_of_age(birth_date date, on_date date, age_years float8) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT birth_date + make_interval(years => age_years::int) <= on_date $$;

-- The tax rate and the age of majority of a province at a time: always one row, null where unknown.
CREATE FUNCTION staunch.province_at(province_code text, as_of timestamptz)
RETURNS TABLE (tax_rate float8, age_of_majority float8)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT max(r.value) FILTER (WHERE r.rule = 'tax_rate'), max(r.value) FILTER (WHERE r.rule = 'age_of_majority')
  FROM staunch.province_rules AS r
  WHERE r.province_code = province_at.province_code
    AND r.valid_from <= province_at.as_of AND r.valid_to > province_at.as_of
$$;

-- The most that leaving at a time may cost under one rule, in cents, half a cent rounded up. With a
-- subsidised device: its value, less an equal part for each month begun. Without: the lesser of a cap and
-- a share of the monthly charges still to come; nothing if open-ended.
CREATE FUNCTION staunch.cancellation_ceiling_cents(
  contract_months int, months_elapsed int, monthly_charge_cents bigint, device_subsidy_cents bigint,
  subsidy_months int, open_ended_subsidy_months int, plain_cap_cents bigint, plain_percent int, plain_months int)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE
    WHEN device_subsidy_cents > 0 AND contract_months > 0 THEN
      (2 * device_subsidy_cents * greatest(least(contract_months, subsidy_months) - greatest(months_elapsed, 0), 0)
       + least(contract_months, subsidy_months)) / (2 * least(contract_months, subsidy_months))
    WHEN device_subsidy_cents > 0 THEN
      (2 * device_subsidy_cents * greatest(open_ended_subsidy_months - greatest(months_elapsed, 0), 0)
       + open_ended_subsidy_months) / (2 * open_ended_subsidy_months)
    WHEN contract_months > 0 THEN
      least(plain_cap_cents,
            (monthly_charge_cents * plain_percent
             * greatest(least(contract_months, plain_months) - greatest(months_elapsed, 0), 0) + 50) / 100)
    ELSE 0
  END
$$;

-- The most that leaving at a time may cost, in cents: the lowest of the ceilings that hold for the service
-- in the province at that time. Always one row; null where no rule sets a ceiling.
CREATE FUNCTION staunch.cancellation_fee(
  service text, province_code text, as_of timestamptz, contract_months int, contract_starts_on date,
  monthly_charge_cents bigint, inducement_cents bigint, inducement_kind text)
RETURNS TABLE (fee_cents bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT min(staunch.cancellation_ceiling_cents(
    cancellation_fee.contract_months, e.elapsed, cancellation_fee.monthly_charge_cents, e.device_subsidy_cents,
    r.subsidy_months, r.open_ended_subsidy_months, r.plain_cap_cents, r.plain_percent, r.plain_months))
  FROM staunch.cancellation_rules AS r
  CROSS JOIN (SELECT
    staunch.months_elapsed(cancellation_fee.contract_starts_on,
                           (cancellation_fee.as_of AT TIME ZONE 'UTC')::date) AS elapsed,
    CASE WHEN cancellation_fee.inducement_kind = 'device_subsidy'
         THEN cancellation_fee.inducement_cents ELSE 0 END AS device_subsidy_cents
    OFFSET 0) AS e
  WHERE r.service = cancellation_fee.service
    AND (r.province_code IS NULL OR r.province_code = cancellation_fee.province_code)
    AND r.valid_from <= cancellation_fee.as_of AND r.valid_to > cancellation_fee.as_of
$$;

-- A handful of rows each: with statistics the planner reads them whole instead of asking an index.
ANALYZE staunch.provinces, staunch.postal_prefixes, staunch.province_rules, staunch.cancellation_rules,
  staunch.plans;
