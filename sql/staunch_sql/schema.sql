-- The schema that all migrations together amount to. Written by `make schema`, never by hand.
-- A test compares it with a migrated database, and these digests with the migrations' files.
-- 0001_schema 993b6ade91d87cc4882a77da00ec32d83a3377853b8103ab4dadbb1b6efaebd1
-- 0002_canada bba2e973f8cded778812ed9ac5b6651a0ba975a6b946fced83c6952417c94775
-- 0003_internet_code_source dcfd06969ce81a52e897cb062bd0f86e2a683525d06150d322baeb6719c5c2b6
-- 0004_discounts_to_come 0d007be492284f8a69fb0ae39439f9c8a5d624caeb0696092f7ca7cdbaf6cb2f
-- 0005_erased_birth_dates fc9144f48c5f76884c3b746a07164870f9d72160ab2075dcf8aff9d2b97298a1

CREATE SCHEMA simulation;

CREATE SCHEMA staunch;

CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA staunch;

COMMENT ON EXTENSION btree_gist IS 'support for indexing common datatypes in GiST';

CREATE FUNCTION staunch.cancellation_ceiling_cents(contract_months integer, months_elapsed integer, monthly_price_cents bigint, discount_cents bigint, discount_months integer, device_subsidy_cents bigint, subsidy_months integer, open_ended_subsidy_months integer, plain_cap_cents bigint, plain_percent integer, plain_months integer) RETURNS bigint
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

CREATE FUNCTION staunch.cancellation_fee(service text, province_code text, as_of timestamp with time zone, contract_months integer, contract_starts_on date, monthly_price_cents bigint, inducement_cents bigint, inducement_kind text, discount_cents bigint DEFAULT 0, promotion_ends_on date DEFAULT NULL::date) RETURNS TABLE(fee_cents bigint)
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

CREATE FUNCTION staunch.ends_within(ends_on date, on_date date, days integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT coalesce(ends_on > on_date AND ends_on <= on_date + days, false) $$;

CREATE FUNCTION staunch.is_of_age(birth_date date, on_date date, age_years double precision) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT birth_date + make_interval(years => age_years::int) <= on_date $$;

CREATE FUNCTION staunch.months_elapsed(starts_on date, on_date date) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  SELECT (12 * (date_part('year', on_date) - date_part('year', starts_on))
          + date_part('month', on_date) - date_part('month', starts_on))::int
         + (date_part('day', on_date) >= least(date_part('day', starts_on),
              date_part('day', date_trunc('month', on_date::timestamp) + interval '1 month -1 day')))::int
$$;

CREATE FUNCTION staunch.months_to_24_month_mark(starts_on date, on_date date) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 24 - staunch.months_elapsed(starts_on, on_date) $$;

CREATE FUNCTION staunch.postal_code_is_rural(postal_code text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT substr(postal_code, 2, 1) = '0' $$;

CREATE FUNCTION staunch.province_at(province_code text, as_of timestamp with time zone) RETURNS TABLE(tax_rate double precision, age_of_majority double precision)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
  SELECT max(r.value) FILTER (WHERE r.rule = 'tax_rate'), max(r.value) FILTER (WHERE r.rule = 'age_of_majority')
  FROM staunch.province_rules AS r
  WHERE r.province_code = province_at.province_code
    AND r.valid_from <= province_at.as_of AND r.valid_to > province_at.as_of
$$;

CREATE FUNCTION staunch.with_tax_cents(amount_cents double precision, tax_rate double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT amount_cents * (1 + tax_rate) $$;

CREATE TABLE simulation.hazards (
    customer_id bigint NOT NULL,
    month date NOT NULL,
    hazard double precision NOT NULL,
    CONSTRAINT hazards_hazard_check CHECK (((hazard >= (0)::double precision) AND (hazard <= (1)::double precision)))
);

CREATE TABLE simulation.worlds (
    seed bigint NOT NULL,
    customers bigint NOT NULL,
    generator_version integer NOT NULL,
    origin timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT worlds_check CHECK ((until >= origin)),
    CONSTRAINT worlds_customers_check CHECK ((customers >= 1))
);

CREATE TABLE staunch.cancellation_rules (
    rule_code text NOT NULL,
    service text NOT NULL,
    province_code text,
    subsidy_months integer,
    open_ended_subsidy_months integer NOT NULL,
    plain_cap_cents bigint NOT NULL,
    plain_percent integer NOT NULL,
    plain_months integer,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    source text NOT NULL,
    CONSTRAINT cancellation_rules_check CHECK ((valid_to > valid_from)),
    CONSTRAINT cancellation_rules_open_ended_subsidy_months_check CHECK ((open_ended_subsidy_months >= 1)),
    CONSTRAINT cancellation_rules_plain_cap_cents_check CHECK ((plain_cap_cents >= 0)),
    CONSTRAINT cancellation_rules_plain_months_check CHECK ((plain_months >= 1)),
    CONSTRAINT cancellation_rules_plain_percent_check CHECK (((plain_percent >= 0) AND (plain_percent <= 100))),
    CONSTRAINT cancellation_rules_rule_code_check CHECK ((rule_code ~ '^[a-z][a-z0-9_]*$'::text)),
    CONSTRAINT cancellation_rules_service_check CHECK ((service = ANY (ARRAY['wireless'::text, 'internet'::text, 'tv'::text]))),
    CONSTRAINT cancellation_rules_subsidy_months_check CHECK ((subsidy_months >= 1))
);

CREATE TABLE staunch.customer_addresses (
    customer_id bigint NOT NULL,
    address_id bigint NOT NULL,
    street text NOT NULL,
    city text NOT NULL,
    province_code text NOT NULL,
    postal_code text NOT NULL,
    postal_prefix text GENERATED ALWAYS AS (
CASE
    WHEN ("left"(postal_code, 1) = 'X'::text) THEN "left"(postal_code, 3)
    ELSE "left"(postal_code, 1)
END) STORED NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    superseded_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT customer_addresses_check CHECK ((valid_to > valid_from)),
    CONSTRAINT customer_addresses_check1 CHECK ((superseded_at > recorded_at)),
    CONSTRAINT customer_addresses_postal_code_check CHECK ((postal_code ~ '^[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] [0-9][ABCEGHJ-NPRSTV-Z][0-9]$'::text))
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_insert_scale_factor='0.01');

CREATE TABLE staunch.customers (
    customer_id bigint NOT NULL,
    customer_key uuid DEFAULT gen_random_uuid() NOT NULL,
    given_name text NOT NULL,
    family_name text NOT NULL,
    email text NOT NULL,
    birth_date date NOT NULL,
    gender text NOT NULL,
    language text NOT NULL,
    joined_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    erased_at timestamp with time zone,
    CONSTRAINT customers_check CHECK ((recorded_at >= joined_at)),
    CONSTRAINT customers_check1 CHECK ((erased_at >= recorded_at)),
    CONSTRAINT customers_customer_id_check CHECK ((customer_id >= 1)),
    CONSTRAINT customers_email_check CHECK ((email ~~ '_%@_%'::text)),
    CONSTRAINT customers_gender_check CHECK ((gender = ANY (ARRAY['female'::text, 'male'::text, 'other'::text, 'undisclosed'::text]))),
    CONSTRAINT customers_language_check CHECK ((language = ANY (ARRAY['en'::text, 'fr'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_insert_scale_factor='0.01');

CREATE TABLE staunch.plans (
    plan_code text NOT NULL,
    service text NOT NULL,
    name_en text NOT NULL,
    name_fr text NOT NULL,
    tier integer NOT NULL,
    CONSTRAINT plans_plan_code_check CHECK ((plan_code ~ '^[a-z][a-z0-9_]*$'::text)),
    CONSTRAINT plans_service_check CHECK ((service = ANY (ARRAY['wireless'::text, 'internet'::text, 'tv'::text]))),
    CONSTRAINT plans_tier_check CHECK ((tier >= 1))
);

CREATE TABLE staunch.postal_prefixes (
    postal_prefix text NOT NULL,
    province_code text NOT NULL,
    CONSTRAINT postal_prefixes_postal_prefix_check CHECK ((postal_prefix ~ '^([A-WYZ]|X[0-9][A-Z])$'::text))
);

CREATE TABLE staunch.province_rules (
    province_code text NOT NULL,
    rule text NOT NULL,
    value double precision NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    source text NOT NULL,
    CONSTRAINT province_rules_check CHECK ((valid_to > valid_from)),
    CONSTRAINT province_rules_rule_check CHECK ((rule = ANY (ARRAY['tax_rate'::text, 'age_of_majority'::text, 'contract_end_notice_days'::text, 'automated_decision_reasons'::text]))),
    CONSTRAINT province_rules_value_check CHECK ((value >= (0)::double precision))
);

CREATE TABLE staunch.provinces (
    province_code text NOT NULL,
    name_en text NOT NULL,
    name_fr text NOT NULL,
    CONSTRAINT provinces_province_code_check CHECK ((province_code ~ '^[A-Z]{2}$'::text))
);

CREATE TABLE staunch.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT schema_migrations_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT schema_migrations_version_check CHECK ((version >= 1))
);

CREATE TABLE staunch.subscription_terms (
    customer_id bigint NOT NULL,
    subscription_id bigint NOT NULL,
    term_id bigint NOT NULL,
    plan_code text NOT NULL,
    contract_months integer NOT NULL,
    contract_starts_on date NOT NULL,
    contract_ends_on date,
    monthly_price_cents bigint NOT NULL,
    discount_cents bigint DEFAULT 0 NOT NULL,
    promotion_ends_on date,
    inducement_cents bigint DEFAULT 0 NOT NULL,
    inducement_kind text DEFAULT 'none'::text NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    superseded_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT subscription_terms_check CHECK (((discount_cents >= 0) AND (discount_cents <= monthly_price_cents))),
    CONSTRAINT subscription_terms_check1 CHECK ((valid_to > valid_from)),
    CONSTRAINT subscription_terms_check2 CHECK ((superseded_at > recorded_at)),
    CONSTRAINT subscription_terms_check3 CHECK (((contract_months = 0) = (contract_ends_on IS NULL))),
    CONSTRAINT subscription_terms_check4 CHECK (((inducement_kind = 'none'::text) = (inducement_cents = 0))),
    CONSTRAINT subscription_terms_contract_length CHECK ((contract_ends_on = ((contract_starts_on + make_interval(months => contract_months)))::date)),
    CONSTRAINT subscription_terms_contract_months_check CHECK (((contract_months >= 0) AND (contract_months <= 60))),
    CONSTRAINT subscription_terms_inducement_cents_check CHECK ((inducement_cents >= 0)),
    CONSTRAINT subscription_terms_inducement_kind_check CHECK ((inducement_kind = ANY (ARRAY['none'::text, 'device_subsidy'::text, 'other'::text]))),
    CONSTRAINT subscription_terms_monthly_price_cents_check CHECK ((monthly_price_cents >= 0))
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_insert_scale_factor='0.01');

CREATE TABLE staunch.subscriptions (
    customer_id bigint NOT NULL,
    subscription_id bigint NOT NULL,
    service text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    started_recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    ended_recorded_at timestamp with time zone,
    end_reason text,
    superseded_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT subscriptions_check CHECK ((started_recorded_at >= started_at)),
    CONSTRAINT subscriptions_check1 CHECK ((ended_at >= started_at)),
    CONSTRAINT subscriptions_check2 CHECK (((ended_recorded_at >= ended_at) AND (ended_recorded_at >= started_recorded_at))),
    CONSTRAINT subscriptions_check3 CHECK ((superseded_at > started_recorded_at)),
    CONSTRAINT subscriptions_check4 CHECK (((ended_at IS NULL) = (ended_recorded_at IS NULL))),
    CONSTRAINT subscriptions_check5 CHECK (((ended_at IS NULL) = (end_reason IS NULL))),
    CONSTRAINT subscriptions_end_reason_check CHECK ((end_reason = ANY (ARRAY['voluntary'::text, 'non_payment'::text, 'moved'::text, 'deceased'::text]))),
    CONSTRAINT subscriptions_service_check CHECK ((service = ANY (ARRAY['wireless'::text, 'internet'::text, 'tv'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_insert_scale_factor='0.01');

CREATE TABLE staunch.support_tickets (
    customer_id bigint NOT NULL,
    ticket_id bigint NOT NULL,
    subscription_id bigint,
    category text NOT NULL,
    channel text NOT NULL,
    priority integer NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    resolved_at timestamp with time zone,
    resolved_recorded_at timestamp with time zone,
    satisfaction integer,
    rated_at timestamp with time zone,
    rated_recorded_at timestamp with time zone,
    superseded_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT support_tickets_category_check CHECK ((category = ANY (ARRAY['billing'::text, 'technical'::text, 'outage'::text, 'cancellation'::text, 'moving'::text, 'other'::text]))),
    CONSTRAINT support_tickets_channel_check CHECK ((channel = ANY (ARRAY['phone'::text, 'chat'::text, 'email'::text, 'store'::text]))),
    CONSTRAINT support_tickets_check CHECK ((recorded_at >= opened_at)),
    CONSTRAINT support_tickets_check1 CHECK ((resolved_at >= opened_at)),
    CONSTRAINT support_tickets_check2 CHECK (((resolved_recorded_at >= resolved_at) AND (resolved_recorded_at >= recorded_at))),
    CONSTRAINT support_tickets_check3 CHECK ((rated_at >= opened_at)),
    CONSTRAINT support_tickets_check4 CHECK ((rated_recorded_at >= rated_at)),
    CONSTRAINT support_tickets_check5 CHECK ((superseded_at > recorded_at)),
    CONSTRAINT support_tickets_check6 CHECK (((resolved_at IS NULL) = (resolved_recorded_at IS NULL))),
    CONSTRAINT support_tickets_check7 CHECK (((satisfaction IS NULL) = (rated_at IS NULL))),
    CONSTRAINT support_tickets_check8 CHECK (((rated_at IS NULL) = (rated_recorded_at IS NULL))),
    CONSTRAINT support_tickets_priority_check CHECK (((priority >= 1) AND (priority <= 4))),
    CONSTRAINT support_tickets_satisfaction_check CHECK (((satisfaction >= 1) AND (satisfaction <= 5)))
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_insert_scale_factor='0.01');

CREATE TABLE staunch.transactions (
    customer_id bigint NOT NULL,
    transaction_id bigint NOT NULL,
    subscription_id bigint,
    kind text NOT NULL,
    status text NOT NULL,
    amount_cents bigint NOT NULL,
    tax_cents bigint DEFAULT 0 NOT NULL,
    currency text DEFAULT 'CAD'::text NOT NULL,
    method text NOT NULL,
    due_on date,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    superseded_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    corrects_transaction_id bigint,
    CONSTRAINT transactions_amount_cents_check CHECK ((amount_cents >= 0)),
    CONSTRAINT transactions_check CHECK ((recorded_at >= occurred_at)),
    CONSTRAINT transactions_check1 CHECK ((superseded_at > recorded_at)),
    CONSTRAINT transactions_check2 CHECK ((corrects_transaction_id <> transaction_id)),
    CONSTRAINT transactions_currency_check CHECK ((currency = 'CAD'::text)),
    CONSTRAINT transactions_kind_check CHECK ((kind = ANY (ARRAY['charge'::text, 'payment'::text, 'refund'::text, 'credit'::text, 'fee'::text]))),
    CONSTRAINT transactions_method_check CHECK ((method = ANY (ARRAY['pre_authorized'::text, 'credit_card'::text, 'bank'::text, 'none'::text]))),
    CONSTRAINT transactions_status_check CHECK ((status = ANY (ARRAY['settled'::text, 'failed'::text]))),
    CONSTRAINT transactions_tax_cents_check CHECK ((tax_cents >= 0))
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_insert_scale_factor='0.01');

ALTER TABLE ONLY simulation.hazards
    ADD CONSTRAINT hazards_pkey PRIMARY KEY (customer_id, month);

ALTER TABLE ONLY simulation.worlds
    ADD CONSTRAINT worlds_pkey PRIMARY KEY (seed);

ALTER TABLE ONLY staunch.cancellation_rules
    ADD CONSTRAINT cancellation_rules_pkey PRIMARY KEY (rule_code, service, valid_from);

ALTER TABLE ONLY staunch.cancellation_rules
    ADD CONSTRAINT cancellation_rules_rule_code_service_tstzrange_excl EXCLUDE USING gist (rule_code WITH =, service WITH =, tstzrange(valid_from, valid_to) WITH &&);

ALTER TABLE ONLY staunch.customer_addresses
    ADD CONSTRAINT customer_addresses_one_at_a_time EXCLUDE USING gist (customer_id WITH =, tstzrange(valid_from, valid_to) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&);

ALTER TABLE ONLY staunch.customer_addresses
    ADD CONSTRAINT customer_addresses_pkey PRIMARY KEY (customer_id, address_id);

ALTER TABLE ONLY staunch.customers
    ADD CONSTRAINT customers_customer_key_key UNIQUE (customer_key);

ALTER TABLE ONLY staunch.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (customer_id) INCLUDE (joined_at, recorded_at, erased_at, birth_date, language);

ALTER TABLE ONLY staunch.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (plan_code);

ALTER TABLE ONLY staunch.postal_prefixes
    ADD CONSTRAINT postal_prefixes_pkey PRIMARY KEY (postal_prefix, province_code);

ALTER TABLE ONLY staunch.province_rules
    ADD CONSTRAINT province_rules_pkey PRIMARY KEY (province_code, rule, valid_from);

ALTER TABLE ONLY staunch.province_rules
    ADD CONSTRAINT province_rules_province_code_rule_tstzrange_excl EXCLUDE USING gist (province_code WITH =, rule WITH =, tstzrange(valid_from, valid_to) WITH &&);

ALTER TABLE ONLY staunch.provinces
    ADD CONSTRAINT provinces_pkey PRIMARY KEY (province_code);

ALTER TABLE ONLY staunch.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY staunch.subscription_terms
    ADD CONSTRAINT subscription_terms_one_at_a_time EXCLUDE USING gist (customer_id WITH =, subscription_id WITH =, tstzrange(valid_from, valid_to) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&);

ALTER TABLE ONLY staunch.subscription_terms
    ADD CONSTRAINT subscription_terms_pkey PRIMARY KEY (customer_id, subscription_id, term_id);

ALTER TABLE ONLY staunch.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (customer_id, subscription_id) INCLUDE (service, started_at, started_recorded_at, ended_at, ended_recorded_at, end_reason, superseded_at);

ALTER TABLE ONLY staunch.support_tickets
    ADD CONSTRAINT support_tickets_pkey PRIMARY KEY (customer_id, ticket_id);

ALTER TABLE ONLY staunch.transactions
    ADD CONSTRAINT transactions_pkey PRIMARY KEY (customer_id, transaction_id);

CREATE INDEX customer_addresses_view ON staunch.customer_addresses USING btree (customer_id, valid_from) INCLUDE (valid_to, recorded_at, superseded_at, province_code, postal_code);

CREATE INDEX customers_erased ON staunch.customers USING btree (birth_date) WHERE (erased_at IS NOT NULL);

CREATE INDEX subscription_terms_view ON staunch.subscription_terms USING btree (customer_id, valid_from) INCLUDE (subscription_id, plan_code, contract_months, contract_starts_on, contract_ends_on, monthly_price_cents, discount_cents, promotion_ends_on, inducement_cents, inducement_kind, valid_to, recorded_at, superseded_at);

CREATE INDEX support_tickets_view ON staunch.support_tickets USING btree (customer_id, opened_at) INCLUDE (category, channel, priority, recorded_at, resolved_at, resolved_recorded_at, satisfaction, rated_at, rated_recorded_at, superseded_at);

CREATE INDEX transactions_view ON staunch.transactions USING btree (customer_id, occurred_at) INCLUDE (kind, status, amount_cents, tax_cents, method, due_on, recorded_at, superseded_at);

ALTER TABLE ONLY staunch.cancellation_rules
    ADD CONSTRAINT cancellation_rules_province_code_fkey FOREIGN KEY (province_code) REFERENCES staunch.provinces(province_code);

ALTER TABLE ONLY staunch.customer_addresses
    ADD CONSTRAINT customer_addresses_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES staunch.customers(customer_id);

ALTER TABLE ONLY staunch.customer_addresses
    ADD CONSTRAINT customer_addresses_postal_prefix_province_code_fkey FOREIGN KEY (postal_prefix, province_code) REFERENCES staunch.postal_prefixes(postal_prefix, province_code);

ALTER TABLE ONLY staunch.customer_addresses
    ADD CONSTRAINT customer_addresses_province_code_fkey FOREIGN KEY (province_code) REFERENCES staunch.provinces(province_code);

ALTER TABLE ONLY staunch.postal_prefixes
    ADD CONSTRAINT postal_prefixes_province_code_fkey FOREIGN KEY (province_code) REFERENCES staunch.provinces(province_code);

ALTER TABLE ONLY staunch.province_rules
    ADD CONSTRAINT province_rules_province_code_fkey FOREIGN KEY (province_code) REFERENCES staunch.provinces(province_code);

ALTER TABLE ONLY staunch.subscription_terms
    ADD CONSTRAINT subscription_terms_customer_id_subscription_id_fkey FOREIGN KEY (customer_id, subscription_id) REFERENCES staunch.subscriptions(customer_id, subscription_id);

ALTER TABLE ONLY staunch.subscription_terms
    ADD CONSTRAINT subscription_terms_plan_code_fkey FOREIGN KEY (plan_code) REFERENCES staunch.plans(plan_code);

ALTER TABLE ONLY staunch.subscriptions
    ADD CONSTRAINT subscriptions_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES staunch.customers(customer_id);

ALTER TABLE ONLY staunch.support_tickets
    ADD CONSTRAINT support_tickets_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES staunch.customers(customer_id);

ALTER TABLE ONLY staunch.support_tickets
    ADD CONSTRAINT support_tickets_customer_id_subscription_id_fkey FOREIGN KEY (customer_id, subscription_id) REFERENCES staunch.subscriptions(customer_id, subscription_id);

ALTER TABLE ONLY staunch.transactions
    ADD CONSTRAINT transactions_customer_id_corrects_transaction_id_fkey FOREIGN KEY (customer_id, corrects_transaction_id) REFERENCES staunch.transactions(customer_id, transaction_id);

ALTER TABLE ONLY staunch.transactions
    ADD CONSTRAINT transactions_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES staunch.customers(customer_id);

ALTER TABLE ONLY staunch.transactions
    ADD CONSTRAINT transactions_customer_id_subscription_id_fkey FOREIGN KEY (customer_id, subscription_id) REFERENCES staunch.subscriptions(customer_id, subscription_id);

GRANT USAGE ON SCHEMA staunch TO staunch_reader;

GRANT SELECT ON TABLE staunch.cancellation_rules TO staunch_reader;

GRANT SELECT ON TABLE staunch.customer_addresses TO staunch_reader;

GRANT SELECT ON TABLE staunch.customers TO staunch_reader;

GRANT SELECT ON TABLE staunch.plans TO staunch_reader;

GRANT SELECT ON TABLE staunch.postal_prefixes TO staunch_reader;

GRANT SELECT ON TABLE staunch.province_rules TO staunch_reader;

GRANT SELECT ON TABLE staunch.provinces TO staunch_reader;

GRANT SELECT ON TABLE staunch.schema_migrations TO staunch_reader;

GRANT SELECT ON TABLE staunch.subscription_terms TO staunch_reader;

GRANT SELECT ON TABLE staunch.subscriptions TO staunch_reader;

GRANT SELECT ON TABLE staunch.support_tickets TO staunch_reader;

GRANT SELECT ON TABLE staunch.transactions TO staunch_reader;

ALTER DEFAULT PRIVILEGES FOR ROLE staunch_owner IN SCHEMA staunch GRANT SELECT ON TABLES TO staunch_reader;
