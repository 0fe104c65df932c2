/* staunch
description = "A customer of a telephone and internet company, as one flat table knows them; there are no dates."
entity = "customer"
population = "SELECT customer_id FROM telco.customers ORDER BY customer_id"

[features]
is_senior = { title = "65 or older", description = "1 if the customer is 65 or older, else 0.", source = ["telco.customers.senior_citizen"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_partner = { title = "Lives with a partner", description = "1 if the customer lives with a partner, else 0.", source = ["telco.customers.partner"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_dependents = { title = "Has dependents", description = "1 if the customer lives with dependents, else 0.", source = ["telco.customers.dependents"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
tenure = { title = "Tenure", unit = "months", description = "Months with the company.", source = ["telco.customers.tenure"], null = "never", range = [0, inf] }
has_phone = { title = "Telephone", description = "1 if the customer has a telephone line, else 0.", source = ["telco.customers.phone_service"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_multiple_lines = { title = "Several lines", description = "1 if there are several lines, 0 if there is one.", source = ["telco.customers.multiple_lines"], null = "no telephone line", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_internet = { title = "Internet", description = "1 if the customer has internet, else 0.", source = ["telco.customers.internet_service"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_fiber = { title = "Internet by", description = "1 if the internet comes by fiber, 0 if by DSL.", source = ["telco.customers.internet_service"], null = "no internet", labels = { 0 = "DSL", 1 = "fiber" }, range = [0, 1] }
has_security = { title = "Online security", description = "1 if the customer takes online security, else 0.", source = ["telco.customers.online_security"], null = "no internet", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_backup = { title = "Online backup", description = "1 if the customer takes online backup, else 0.", source = ["telco.customers.online_backup"], null = "no internet", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_protection = { title = "Device protection", description = "1 if the customer takes device protection, else 0.", source = ["telco.customers.device_protection"], null = "no internet", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_support = { title = "Technical support", description = "1 if the customer takes technical support, else 0.", source = ["telco.customers.tech_support"], null = "no internet", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
streams_tv = { title = "Streams television", description = "1 if the customer streams television, else 0.", source = ["telco.customers.streaming_tv"], null = "no internet", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
streams_movies = { title = "Streams movies", description = "1 if the customer streams movies, else 0.", source = ["telco.customers.streaming_movies"], null = "no internet", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
contract = { title = "Contract", unit = "months", description = "Length of the contract: 1 if it runs from month to month, 12 or 24.", source = ["telco.customers.contract"], null = "a contract of another kind", labels = { 1 = "month to month", 12 = "one year", 24 = "two years" }, range = [1, 24] }
has_paperless_billing = { title = "Paperless bills", description = "1 if bills come by electronic mail, else 0.", source = ["telco.customers.paperless_billing"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
pays_automatically = { title = "Pays automatically", description = "1 if the bank account or credit card is charged by itself, else 0.", source = ["telco.customers.payment_method"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
pays_by_electronic_check = { title = "Pays by electronic check", description = "1 if the customer pays by electronic check, else 0.", source = ["telco.customers.payment_method"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
monthly_charges = { title = "Monthly bill", unit = "USD", description = "The last monthly bill.", source = ["telco.customers.monthly_charges"], null = "never", range = [0, inf] }
total_charges = { title = "Billed so far", unit = "USD", description = "All that was ever billed.", source = ["telco.customers.total_charges"], null = "not billed yet", range = [0, inf] }
charge_rise = { title = "Rise of the bill", unit = "USD", description = "The last monthly bill less the mean of all.", source = ["telco.customers.monthly_charges", "telco.customers.total_charges", "telco.customers.tenure"], null = "not billed yet" }
*/
SELECT
  c.customer_id,
  c.senior_citizen::float8 AS is_senior,
  c.partner::int::float8 AS has_partner,
  c.dependents::int::float8 AS has_dependents,
  c.tenure::float8 AS tenure,
  c.phone_service::int::float8 AS has_phone,
  (CASE c.multiple_lines WHEN 'Yes' THEN 1 WHEN 'No' THEN 0 END)::float8 AS has_multiple_lines,
  (c.internet_service <> 'No')::int::float8 AS has_internet,
  (CASE c.internet_service WHEN 'Fiber optic' THEN 1 WHEN 'DSL' THEN 0 END)::float8 AS has_fiber,
  (CASE c.online_security WHEN 'Yes' THEN 1 WHEN 'No' THEN 0 END)::float8 AS has_security,
  (CASE c.online_backup WHEN 'Yes' THEN 1 WHEN 'No' THEN 0 END)::float8 AS has_backup,
  (CASE c.device_protection WHEN 'Yes' THEN 1 WHEN 'No' THEN 0 END)::float8 AS has_protection,
  (CASE c.tech_support WHEN 'Yes' THEN 1 WHEN 'No' THEN 0 END)::float8 AS has_support,
  (CASE c.streaming_tv WHEN 'Yes' THEN 1 WHEN 'No' THEN 0 END)::float8 AS streams_tv,
  (CASE c.streaming_movies WHEN 'Yes' THEN 1 WHEN 'No' THEN 0 END)::float8 AS streams_movies,
  (CASE c.contract WHEN 'Month-to-month' THEN 1 WHEN 'One year' THEN 12 WHEN 'Two year' THEN 24 END)::float8 AS contract,
  c.paperless_billing::int::float8 AS has_paperless_billing,
  (c.payment_method LIKE '%(automatic)')::int::float8 AS pays_automatically,
  (c.payment_method = 'Electronic check')::int::float8 AS pays_by_electronic_check,
  c.monthly_charges::float8 AS monthly_charges,
  c.total_charges::float8 AS total_charges,
  (c.monthly_charges - c.total_charges / nullif(c.tenure, 0))::float8 AS charge_rise
FROM unnest($1::text[]) AS u (customer_id)
JOIN telco.customers AS c USING (customer_id)
