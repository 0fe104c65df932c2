-- Counts a discount in the cancellation fee for as long as it lasts. The laws speak of the charges still to come
-- (Wireless Code) and of the price of the services not provided (Quebec): for each month that has not begun the
-- list price, less the discount if the month begins before the promotion ends.
--
-- Who calls `cancellation_fee` without a discount gets what they got before.

DROP FUNCTION staunch.cancellation_fee(text, text, timestamptz, int, date, bigint, bigint, text);
DROP FUNCTION staunch.cancellation_ceiling_cents(int, int, bigint, bigint, int, int, bigint, int, int);

-- The most that leaving at a time may cost under one rule, in cents, half a cent rounded up. With a
-- subsidised device: its value, less an equal part for each month begun. Without: the lesser of a cap and
-- a share of the monthly charges still to come; nothing if open-ended. The discount counts in the first
-- `discount_months` of the contract, null for all of them.
CREATE FUNCTION staunch.cancellation_ceiling_cents(
  contract_months int, months_elapsed int, monthly_price_cents bigint, discount_cents bigint, discount_months int,
  device_subsidy_cents bigint, subsidy_months int, open_ended_subsidy_months int, plain_cap_cents bigint,
  plain_percent int, plain_months int)
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
            ((monthly_price_cents
              * greatest(least(contract_months, plain_months) - greatest(months_elapsed, 0), 0)
              - discount_cents
              * greatest(least(contract_months, plain_months, discount_months) - greatest(months_elapsed, 0), 0))
             * plain_percent + 50) / 100)
    ELSE 0
  END
$$;

-- The most that leaving at a time may cost, in cents: the lowest of the ceilings that hold for the service
-- in the province at that time. Always one row; null where no rule sets a ceiling. A promotion ends on the
-- first day without it; null is a discount for good.
CREATE FUNCTION staunch.cancellation_fee(
  service text, province_code text, as_of timestamptz, contract_months int, contract_starts_on date,
  monthly_price_cents bigint, inducement_cents bigint, inducement_kind text,
  discount_cents bigint DEFAULT 0, promotion_ends_on date DEFAULT NULL)
RETURNS TABLE (fee_cents bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT min(staunch.cancellation_ceiling_cents(
    cancellation_fee.contract_months, e.elapsed, cancellation_fee.monthly_price_cents,
    cancellation_fee.discount_cents, e.discount_months, e.device_subsidy_cents,
    r.subsidy_months, r.open_ended_subsidy_months, r.plain_cap_cents, r.plain_percent, r.plain_months))
  FROM staunch.cancellation_rules AS r
  CROSS JOIN (SELECT
    staunch.months_elapsed(cancellation_fee.contract_starts_on, d.today) AS elapsed,
    -- How many months of the contract begin before the promotion ends; none of those to come once it has.
    CASE WHEN cancellation_fee.discount_cents = 0 OR cancellation_fee.promotion_ends_on <= d.today THEN 0
         ELSE staunch.months_elapsed(cancellation_fee.contract_starts_on,
                                     cancellation_fee.promotion_ends_on - 1) END AS discount_months,
    CASE WHEN cancellation_fee.inducement_kind = 'device_subsidy'
         THEN cancellation_fee.inducement_cents ELSE 0 END AS device_subsidy_cents
    FROM (SELECT (cancellation_fee.as_of AT TIME ZONE 'UTC')::date AS today OFFSET 0) AS d
    OFFSET 0) AS e
  WHERE r.service = cancellation_fee.service
    AND (r.province_code IS NULL OR r.province_code = cancellation_fee.province_code)
    AND r.valid_from <= cancellation_fee.as_of AND r.valid_to > cancellation_fee.as_of
$$;
