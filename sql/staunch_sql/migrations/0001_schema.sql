-- The tables of Staunch: identity and facts, each with the history that belongs to it.
--
-- "Known at t" is recorded_at <= t AND superseded_at > t; "valid at t" is valid_from <= t AND
-- valid_to > t. Open ends are 'infinity'. A row is never edited but to close it: a correction sets
-- superseded_at and inserts. Money is integer cents. Keys lead with customer_id.

CREATE SCHEMA IF NOT EXISTS staunch;
CREATE SCHEMA IF NOT EXISTS simulation;

CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA staunch;

-- Reference data -----------------------------------------------------------------------------

CREATE TABLE staunch.provinces (
  province_code text PRIMARY KEY CHECK (province_code ~ '^[A-Z]{2}$'),
  name_en       text NOT NULL,
  name_fr       text NOT NULL
);

-- The first letter of a postal code tells its province; X is shared, so there three characters do.
CREATE TABLE staunch.postal_prefixes (
  postal_prefix text NOT NULL CHECK (postal_prefix ~ '^([A-WYZ]|X[0-9][A-Z])$'),
  province_code text NOT NULL REFERENCES staunch.provinces,
  PRIMARY KEY (postal_prefix, province_code)
);

CREATE TABLE staunch.province_rules (
  province_code text        NOT NULL REFERENCES staunch.provinces,
  rule          text        NOT NULL CHECK (rule IN
    ('tax_rate', 'age_of_majority', 'contract_end_notice_days', 'automated_decision_reasons')),
  value         float8      NOT NULL CHECK (value >= 0),
  valid_from    timestamptz NOT NULL,
  valid_to      timestamptz NOT NULL DEFAULT 'infinity' CHECK (valid_to > valid_from),
  source        text        NOT NULL,
  PRIMARY KEY (province_code, rule, valid_from),
  EXCLUDE USING gist (province_code WITH =, rule WITH =, tstzrange(valid_from, valid_to) WITH &&)
);

-- What a customer may at most be charged for leaving early, one row a rule and period. A null province
-- means everywhere. All rules that hold for a service in a province at a time are ceilings: the lowest counts.
CREATE TABLE staunch.cancellation_rules (
  rule_code                 text        NOT NULL CHECK (rule_code ~ '^[a-z][a-z0-9_]*$'),
  service                   text        NOT NULL CHECK (service IN ('wireless', 'internet', 'tv')),
  province_code             text        REFERENCES staunch.provinces,
  subsidy_months            int         CHECK (subsidy_months >= 1),            -- null: the contract's length
  open_ended_subsidy_months int         NOT NULL CHECK (open_ended_subsidy_months >= 1),
  plain_cap_cents           bigint      NOT NULL CHECK (plain_cap_cents >= 0),  -- without a subsidised device
  plain_percent             int         NOT NULL CHECK (plain_percent BETWEEN 0 AND 100),
  plain_months              int         CHECK (plain_months >= 1),              -- null: the contract's length
  valid_from                timestamptz NOT NULL,
  valid_to                  timestamptz NOT NULL DEFAULT 'infinity' CHECK (valid_to > valid_from),
  source                    text        NOT NULL,
  PRIMARY KEY (rule_code, service, valid_from),
  EXCLUDE USING gist (rule_code WITH =, service WITH =, tstzrange(valid_from, valid_to) WITH &&)
);

CREATE TABLE staunch.plans (
  plan_code text PRIMARY KEY CHECK (plan_code ~ '^[a-z][a-z0-9_]*$'),
  service   text NOT NULL CHECK (service IN ('wireless', 'internet', 'tv')),
  name_en   text NOT NULL,
  name_fr   text NOT NULL,
  tier      int  NOT NULL CHECK (tier >= 1)
);

-- Customers ----------------------------------------------------------------------------------

CREATE TABLE staunch.customers (
  customer_id  bigint      CHECK (customer_id >= 1),
  customer_key uuid        NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  given_name   text        NOT NULL,
  family_name  text        NOT NULL,
  email        text        NOT NULL CHECK (email LIKE '_%@_%'),
  birth_date   date        NOT NULL,
  gender       text        NOT NULL CHECK (gender IN ('female', 'male', 'other', 'undisclosed')),
  language     text        NOT NULL CHECK (language IN ('en', 'fr')),
  joined_at    timestamptz NOT NULL,
  recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (recorded_at >= joined_at),
  erased_at    timestamptz CHECK (erased_at >= recorded_at),
  PRIMARY KEY (customer_id) INCLUDE (joined_at, recorded_at, erased_at, birth_date, language)
);

CREATE TABLE staunch.customer_addresses (
  customer_id   bigint      NOT NULL REFERENCES staunch.customers,
  address_id    bigint      NOT NULL,
  street        text        NOT NULL,
  city          text        NOT NULL,
  province_code text        NOT NULL REFERENCES staunch.provinces,
  postal_code   text        NOT NULL
    CHECK (postal_code ~ '^[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] [0-9][ABCEGHJ-NPRSTV-Z][0-9]$'),
  postal_prefix text        NOT NULL GENERATED ALWAYS AS
    (CASE WHEN left(postal_code, 1) = 'X' THEN left(postal_code, 3) ELSE left(postal_code, 1) END) STORED,
  valid_from    timestamptz NOT NULL,
  valid_to      timestamptz NOT NULL DEFAULT 'infinity' CHECK (valid_to > valid_from),
  recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  superseded_at timestamptz NOT NULL DEFAULT 'infinity' CHECK (superseded_at > recorded_at),
  PRIMARY KEY (customer_id, address_id),
  FOREIGN KEY (postal_prefix, province_code) REFERENCES staunch.postal_prefixes,
  CONSTRAINT customer_addresses_one_at_a_time EXCLUDE USING gist
    (customer_id WITH =, tstzrange(valid_from, valid_to) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- Subscriptions ------------------------------------------------------------------------------

CREATE TABLE staunch.subscriptions (
  customer_id         bigint      NOT NULL REFERENCES staunch.customers,
  subscription_id     bigint      NOT NULL,
  service             text        NOT NULL CHECK (service IN ('wireless', 'internet', 'tv')),
  started_at          timestamptz NOT NULL,
  started_recorded_at timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (started_recorded_at >= started_at),
  ended_at            timestamptz CHECK (ended_at >= started_at),
  ended_recorded_at   timestamptz CHECK (ended_recorded_at >= ended_at AND ended_recorded_at >= started_recorded_at),
  end_reason          text        CHECK (end_reason IN ('voluntary', 'non_payment', 'moved', 'deceased')),
  superseded_at       timestamptz NOT NULL DEFAULT 'infinity' CHECK (superseded_at > started_recorded_at),
  PRIMARY KEY (customer_id, subscription_id)
    INCLUDE (service, started_at, started_recorded_at, ended_at, ended_recorded_at, end_reason, superseded_at),
  CHECK ((ended_at IS NULL) = (ended_recorded_at IS NULL)),
  CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

CREATE TABLE staunch.subscription_terms (
  customer_id          bigint      NOT NULL,
  subscription_id      bigint      NOT NULL,
  term_id              bigint      NOT NULL,
  plan_code            text        NOT NULL REFERENCES staunch.plans,
  contract_months      int         NOT NULL CHECK (contract_months BETWEEN 0 AND 60),
  contract_starts_on   date        NOT NULL,
  contract_ends_on     date, -- the first day that it binds no more
  monthly_price_cents  bigint      NOT NULL CHECK (monthly_price_cents >= 0),
  discount_cents       bigint      NOT NULL DEFAULT 0 CHECK (discount_cents BETWEEN 0 AND monthly_price_cents),
  promotion_ends_on    date,
  inducement_cents     bigint      NOT NULL DEFAULT 0 CHECK (inducement_cents >= 0),
  inducement_kind      text        NOT NULL DEFAULT 'none' CHECK (inducement_kind IN ('none', 'device_subsidy', 'other')),
  valid_from           timestamptz NOT NULL,
  valid_to             timestamptz NOT NULL DEFAULT 'infinity' CHECK (valid_to > valid_from),
  recorded_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  superseded_at        timestamptz NOT NULL DEFAULT 'infinity' CHECK (superseded_at > recorded_at),
  PRIMARY KEY (customer_id, subscription_id, term_id),
  FOREIGN KEY (customer_id, subscription_id) REFERENCES staunch.subscriptions,
  CHECK ((contract_months = 0) = (contract_ends_on IS NULL)),
  CONSTRAINT subscription_terms_contract_length
    CHECK (contract_ends_on = (contract_starts_on + make_interval(months => contract_months))::date),
  CHECK ((inducement_kind = 'none') = (inducement_cents = 0)),
  CONSTRAINT subscription_terms_one_at_a_time EXCLUDE USING gist
    (customer_id WITH =, subscription_id WITH =,
     tstzrange(valid_from, valid_to) WITH &&, tstzrange(recorded_at, superseded_at) WITH &&)
);

-- Events, append-only ------------------------------------------------------------------------

CREATE TABLE staunch.transactions (
  customer_id             bigint      NOT NULL REFERENCES staunch.customers,
  transaction_id          bigint      NOT NULL,
  subscription_id         bigint,
  kind                    text        NOT NULL CHECK (kind IN ('charge', 'payment', 'refund', 'credit', 'fee')),
  status                  text        NOT NULL CHECK (status IN ('settled', 'failed')),
  amount_cents            bigint      NOT NULL CHECK (amount_cents >= 0),
  tax_cents               bigint      NOT NULL DEFAULT 0 CHECK (tax_cents >= 0),
  currency                text        NOT NULL DEFAULT 'CAD' CHECK (currency = 'CAD'),
  method                  text        NOT NULL CHECK (method IN ('pre_authorized', 'credit_card', 'bank', 'none')),
  due_on                  date,
  occurred_at             timestamptz NOT NULL,
  recorded_at             timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (recorded_at >= occurred_at),
  superseded_at           timestamptz NOT NULL DEFAULT 'infinity' CHECK (superseded_at > recorded_at),
  corrects_transaction_id bigint,
  PRIMARY KEY (customer_id, transaction_id),
  FOREIGN KEY (customer_id, subscription_id) REFERENCES staunch.subscriptions,
  FOREIGN KEY (customer_id, corrects_transaction_id) REFERENCES staunch.transactions,
  CHECK (corrects_transaction_id <> transaction_id)
);

CREATE TABLE staunch.support_tickets (
  customer_id          bigint      NOT NULL REFERENCES staunch.customers,
  ticket_id            bigint      NOT NULL,
  subscription_id      bigint,
  category             text        NOT NULL
    CHECK (category IN ('billing', 'technical', 'outage', 'cancellation', 'moving', 'other')),
  channel              text        NOT NULL CHECK (channel IN ('phone', 'chat', 'email', 'store')),
  priority             int         NOT NULL CHECK (priority BETWEEN 1 AND 4),
  opened_at            timestamptz NOT NULL,
  recorded_at          timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (recorded_at >= opened_at),
  resolved_at          timestamptz CHECK (resolved_at >= opened_at),
  resolved_recorded_at timestamptz CHECK (resolved_recorded_at >= resolved_at AND resolved_recorded_at >= recorded_at),
  satisfaction         int         CHECK (satisfaction BETWEEN 1 AND 5),
  rated_at             timestamptz CHECK (rated_at >= opened_at),
  rated_recorded_at    timestamptz CHECK (rated_recorded_at >= rated_at),
  superseded_at        timestamptz NOT NULL DEFAULT 'infinity' CHECK (superseded_at > recorded_at),
  PRIMARY KEY (customer_id, ticket_id),
  FOREIGN KEY (customer_id, subscription_id) REFERENCES staunch.subscriptions,
  CHECK ((resolved_at IS NULL) = (resolved_recorded_at IS NULL)),
  CHECK ((satisfaction IS NULL) = (rated_at IS NULL)),
  CHECK ((rated_at IS NULL) = (rated_recorded_at IS NULL))
);

-- What a feature view reads of one customer is one index-only range in each table. Where that is about one
-- row, a second index beside the primary key would cost the planner the same, so there the key includes it.
CREATE INDEX customer_addresses_view ON staunch.customer_addresses (customer_id, valid_from)
  INCLUDE (valid_to, recorded_at, superseded_at, province_code, postal_code);
CREATE INDEX subscription_terms_view ON staunch.subscription_terms (customer_id, valid_from)
  INCLUDE (subscription_id, plan_code, contract_months, contract_starts_on, contract_ends_on, monthly_price_cents,
           discount_cents, promotion_ends_on, inducement_cents, inducement_kind, valid_to, recorded_at, superseded_at);
CREATE INDEX transactions_view ON staunch.transactions (customer_id, occurred_at)
  INCLUDE (kind, status, amount_cents, tax_cents, method, due_on, recorded_at, superseded_at);
CREATE INDEX support_tickets_view ON staunch.support_tickets (customer_id, opened_at)
  INCLUDE (category, channel, priority, recorded_at, resolved_at, resolved_recorded_at,
           satisfaction, rated_at, rated_recorded_at, superseded_at);

-- Index-only scans live from a fresh visibility map: vacuum after a hundredth of the rows.
ALTER TABLE staunch.customers SET
  (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01);
ALTER TABLE staunch.customer_addresses SET
  (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01);
ALTER TABLE staunch.subscriptions SET
  (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01);
ALTER TABLE staunch.subscription_terms SET
  (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01);
ALTER TABLE staunch.transactions SET
  (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01);
ALTER TABLE staunch.support_tickets SET
  (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.01);

-- The simulation: what it knows and no view may see ------------------------------------------

CREATE TABLE simulation.worlds (
  seed              bigint      PRIMARY KEY,
  customers         bigint      NOT NULL CHECK (customers >= 1),
  generator_version int         NOT NULL,
  origin            timestamptz NOT NULL, -- the `until` the world was first written with; fixes every draw
  until             timestamptz NOT NULL CHECK (until >= origin),
  settings          jsonb       NOT NULL DEFAULT '{}',
  finished_at       timestamptz           -- null while rows are being written: such a world is rebuilt
);

CREATE TABLE simulation.hazards (
  customer_id bigint NOT NULL,
  month       date   NOT NULL,
  hazard      float8 NOT NULL CHECK (hazard BETWEEN 0 AND 1),
  PRIMARY KEY (customer_id, month)
);

-- The reader sees `staunch` and nothing of `simulation` ---------------------------------------

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'staunch_reader') THEN
    CREATE ROLE staunch_reader NOLOGIN;
  END IF;
END $$;

REVOKE ALL ON SCHEMA simulation FROM PUBLIC;
GRANT USAGE ON SCHEMA staunch TO staunch_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA staunch TO staunch_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA staunch GRANT SELECT ON TABLES TO staunch_reader;
