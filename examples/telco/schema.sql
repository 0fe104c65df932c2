-- The one table of the Telco example: a row a customer, columns in the order of the file.
CREATE SCHEMA telco;

CREATE TABLE telco.customers (
  customer_id text PRIMARY KEY,
  gender text NOT NULL,
  senior_citizen smallint NOT NULL,
  partner boolean NOT NULL,
  dependents boolean NOT NULL,
  tenure integer NOT NULL,
  phone_service boolean NOT NULL,
  multiple_lines text NOT NULL,
  internet_service text NOT NULL,
  online_security text NOT NULL,
  online_backup text NOT NULL,
  device_protection text NOT NULL,
  tech_support text NOT NULL,
  streaming_tv text NOT NULL,
  streaming_movies text NOT NULL,
  contract text NOT NULL,
  paperless_billing boolean NOT NULL,
  payment_method text NOT NULL,
  monthly_charges numeric(8, 2) NOT NULL,
  total_charges numeric(10, 2),
  churn boolean NOT NULL
);

-- Serving and training connect as the reader, who may only look.
GRANT USAGE ON SCHEMA telco TO staunch_reader;
GRANT SELECT ON telco.customers TO staunch_reader;
