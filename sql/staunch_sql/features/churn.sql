/* staunch
description = "What is known of a customer at a moment: payments, subscriptions and their terms, support tickets, province."
"description.fr" = "Ce que l'on sait d'un client à un moment donné : paiements, abonnements et leurs conditions, demandes d'assistance, province."
entity = "customer"
"entity.fr" = "client"
population = "SELECT customer_id FROM staunch.customers ORDER BY customer_id"
eligible = "has a live subscription and has not been erased"
"eligible.fr" = "a un abonnement actif et dont les données n'ont pas été effacées"
rules = [
  "What counts is what was known at t, the as-of time: recorded by t and not superseded by t.",
  "A window of n days is (t - n * 24 hours, t]. Days since something are of 24 hours, with their fraction; dates are compared with the UTC day of t.",
  "Amounts of transactions include tax. A payment counts by when it occurred, and is settled unless it is called failed.",
  "A subscription is live if it has started and is not known to have ended. What is said of price, plan, contract, promotion and fee for leaving is said of the terms of the live subscriptions, those valid at t unless a window is given.",
  "Tickets about a cancellation are left out: that is the outcome and not its cause. A ticket is open if it is not known to be resolved.",
]
"rules.fr" = [
  "Ne compte que ce qui était connu à t, la date d'observation : inscrit au plus tard à t et non remplacé à t.",
  "Une période de n jours est (t - n * 24 heures, t]. Les jours écoulés depuis un événement comptent 24 heures, fraction comprise; les dates sont comparées au jour UTC de t.",
  "Les montants des opérations comprennent les taxes. Un paiement compte à la date où il a eu lieu, et il est réglé sauf s'il est dit refusé.",
  "Un abonnement est actif s'il a commencé et qu'on ne sait pas qu'il a pris fin. Ce qui est dit du prix, du forfait, du contrat, de la promotion et des frais de résiliation vaut pour les conditions des abonnements actifs, celles en vigueur à t, sauf si une période est indiquée.",
  "Les demandes au sujet d'une résiliation sont exclues : c'est le résultat et non sa cause. Une demande est en cours si on ne sait pas qu'elle est résolue.",
]

[time_columns]
customers = ["joined_at", "recorded_at"]
customer_addresses = ["valid_from", "recorded_at"]
subscriptions = ["started_at", "started_recorded_at"]
subscription_terms = ["valid_from", "recorded_at"]
transactions = ["occurred_at", "recorded_at"]
support_tickets = ["opened_at", "recorded_at"]

[features]
# Transactions.
payments_90d = { title = "Payments, 90 days", description = "Settled payments.", source = ["transactions.kind", "transactions.status"], window = "90 days", null = "never", range = [0, inf] }
payments_365d = { title = "Payments, 12 months", description = "Settled payments.", source = ["transactions.kind", "transactions.status"], window = "365 days", null = "never", range = [0, inf] }
paid_365d = { title = "Amount paid, 12 months", unit = "CAD", description = "Sum of the settled payments.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "never", range = [0, inf] }
payment_mean_365d = { title = "Average payment", unit = "CAD", description = "Mean settled payment.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "no settled payment", range = [0, inf] }
payment_stddev_365d = { title = "Variation of payments", unit = "CAD", description = "Sample standard deviation of the settled payments.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "fewer than two settled payments", range = [0, inf] }
charge_median_365d = { title = "Median charge", unit = "CAD", description = "Median settled charge.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "no charge", range = [0, inf] }
charge_p90_365d = { title = "High charge (90th percentile)", unit = "CAD", description = "90th percentile of the settled charges, interpolated between neighbours.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "no charge", range = [0, inf] }
charge_trend_365d = { title = "Trend of charges", unit = "CAD per 30 days", description = "Least-squares slope of the settled charges over time in days before the as-of time, rounded down to whole ones.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents", "transactions.occurred_at"], window = "365 days", null = "no charges on two different days" }
charge_change_90d = { title = "Change of charges, last 90 days", unit = "CAD", description = "Mean settled charge of the last 90 days less the mean of those between 90 and 365 days ago.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "no charge in one of the two" }
failed_payments_90d = { title = "Failed payments, 90 days", description = "Failed payments.", source = ["transactions.kind", "transactions.status"], window = "90 days", null = "never", range = [0, inf] }
failed_payments_365d = { title = "Failed payments, 12 months", description = "Failed payments.", source = ["transactions.kind", "transactions.status"], window = "365 days", null = "never", range = [0, inf] }
failed_share_365d = { title = "Share of failed payments", description = "Failed payments as a share of all payments.", source = ["transactions.kind", "transactions.status"], window = "365 days", null = "no payment", range = [0, 1] }
days_since_payment = { title = "Time since last payment", unit = "days", description = "Days since the last settled payment.", source = ["transactions.kind", "transactions.status", "transactions.occurred_at"], window = "365 days", null = "no settled payment in the window", range = [0, 365] }
days_since_failed_payment = { title = "Time since last failed payment", unit = "days", description = "Days since the last failed payment.", source = ["transactions.kind", "transactions.status", "transactions.occurred_at"], window = "365 days", null = "no failed payment in the window", range = [0, 365] }
payment_gap_max_365d = { title = "Longest gap between payments", unit = "days", description = "Longest time between two settled payments that follow each other.", source = ["transactions.kind", "transactions.status", "transactions.occurred_at"], window = "365 days", null = "fewer than two settled payments", range = [0, 365] }
fees_365d = { title = "Fees, 12 months", unit = "CAD", description = "Sum of the settled fees.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "never", range = [0, inf] }
credits_365d = { title = "Credits and refunds, 12 months", unit = "CAD", description = "Sum of the settled credits and refunds.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "never", range = [0, inf] }
unpaid_365d = { title = "Billed and not paid, 12 months", unit = "CAD", description = "Settled charges, fees and refunds less settled payments and credits: what was billed and not paid.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents"], window = "365 days", null = "never" }
overdue_365d = { title = "Overdue balance", unit = "CAD", description = "What was billed and not paid, leaving out charges and fees due on the as-of day or later; 0 if that is negative.", source = ["transactions.kind", "transactions.status", "transactions.amount_cents", "transactions.tax_cents", "transactions.due_on"], window = "365 days", null = "never", range = [0, inf] }
preauthorized_share_365d = { title = "Share of pre-authorized payments", description = "Pre-authorized payments, settled or failed, as a share of all payments.", source = ["transactions.kind", "transactions.method"], window = "365 days", null = "no payment", range = [0, 1] }
# Subscriptions.
live_subscriptions = { title = "Active subscriptions", description = "Live subscriptions.", source = ["subscriptions.ended_recorded_at"], null = "never", range = [0, inf] }
ended_subscriptions = { title = "Ended subscriptions", description = "Subscriptions known to have ended.", source = ["subscriptions.ended_recorded_at"], null = "never", range = [0, inf] }
has_wireless = { title = "Wireless", description = "1 if a live subscription is for wireless, else 0.", source = ["subscriptions.service"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_internet = { title = "Internet", description = "1 if a live subscription is for internet, else 0.", source = ["subscriptions.service"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
has_tv = { title = "Television", description = "1 if a live subscription is for television, else 0.", source = ["subscriptions.service"], null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
tenure_days = { title = "Tenure", unit = "days", description = "Days since the first subscription started.", source = ["subscriptions.started_at"], null = "no subscription", range = [0, 36500] }
days_since_end = { title = "Time since a subscription ended", unit = "days", description = "Days since the last subscription to end did so.", source = ["subscriptions.ended_at"], null = "none has ended", range = [0, 36500] }
# Terms of the live subscriptions.
monthly_price = { title = "Monthly price before tax", unit = "CAD", description = "Monthly price of all live subscriptions before tax, less discounts whose promotion has not ended.", source = ["subscription_terms.monthly_price_cents", "subscription_terms.discount_cents", "subscription_terms.promotion_ends_on"], null = "no terms known", range = [0, inf] }
monthly_bill = { title = "Monthly bill", unit = "CAD", description = "Monthly price with the sales tax of the province at the time.", source = ["subscription_terms.monthly_price_cents", "subscription_terms.discount_cents", "province_rules.value", "customer_addresses.province_code"], null = "no terms or no address known, or no tax rate on record for that time, as before 2010", range = [0, inf] }
discount_share = { title = "Share of discounts", description = "Discount as a share of the monthly price before it; only what has not ended counts.", source = ["subscription_terms.discount_cents", "subscription_terms.monthly_price_cents"], null = "no terms known or all free of charge", range = [0, 1] }
plan_tier = { title = "Highest plan tier", description = "Highest tier among the plans, 1 the plainest.", source = ["subscription_terms.plan_code", "plans.tier"], null = "no terms known", range = [1, inf] }
price_rises_365d = { title = "Price increases, 12 months", description = "Rises of the monthly price before discounts of an unchanged plan, each against the terms before it, which may be older than the window.", source = ["subscription_terms.monthly_price_cents", "subscription_terms.valid_from"], window = "365 days", null = "never", range = [0, inf] }
price_rise_90d = { title = "Price increase, 90 days", unit = "CAD", description = "Sum of the rises of the monthly price before discounts of unchanged plans, each against the terms before it, which may be older than the window.", source = ["subscription_terms.monthly_price_cents", "subscription_terms.valid_from"], window = "90 days", null = "never", range = [0, inf] }
contract_months = { title = "Contract length", unit = "months", description = "Length of the longest contract, 0 if all are open-ended.", source = ["subscription_terms.contract_months"], null = "no terms known", labels = { 0 = "no fixed term" }, range = [0, inf] }
contract_days_left = { title = "Time to end of contract", unit = "days", description = "Days until the next end of a contract; if all have ended, minus the days since the last end.", source = ["subscription_terms.contract_ends_on"], null = "no contract", range = [-36500, 36500] }
contract_ends_90d = { title = "Contract ends within 90 days", description = "1 if a contract ends within 90 days, else 0.", source = ["subscription_terms.contract_ends_on"], window = "90 days ahead", null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
promotion_days_left = { title = "Time to end of promotion", unit = "days", description = "Days until the next end of a promotion; if all have ended, minus the days since the last end.", source = ["subscription_terms.promotion_ends_on"], null = "no promotion", range = [-36500, 36500] }
promotion_ends_90d = { title = "Promotion ends within 90 days", description = "1 if a promotion ends within 90 days, else 0.", source = ["subscription_terms.promotion_ends_on"], window = "90 days ahead", null = "never", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
promotion_share = { title = "Share of promotions", description = "What promotions, running or over, take or took off, as a share of the monthly price before it; a discount without an end is left out.", source = ["subscription_terms.discount_cents", "subscription_terms.monthly_price_cents"], null = "no terms known or all free of charge", range = [0, 1] }
months_to_24_month_mark = { title = "Time to the 24-month mark", unit = "months", description = "Months until the newest contract is 24 months old, the month under way counted as over; negative after that.", source = ["subscription_terms.contract_starts_on"], null = "no contract", range = [-1200, 24] }
cancellation_fee = { title = "Cancellation fee", unit = "CAD", description = "Most that leaving today may cost, before tax: the sum over the live subscriptions of the lowest ceiling that holds for the service in the province at the time, each to the cent, half a cent up. A ceiling is a subsidised device's value less an equal part for each month begun; without one, in a fixed term, the lesser of an amount and a share of the prices of the months not begun, each less the discount if the month begins before the promotion ends; else 0.", source = ["subscriptions.service", "subscription_terms.contract_months", "subscription_terms.contract_starts_on", "subscription_terms.monthly_price_cents", "subscription_terms.discount_cents", "subscription_terms.promotion_ends_on", "subscription_terms.inducement_cents", "subscription_terms.inducement_kind", "cancellation_rules", "customer_addresses.province_code"], null = "no rule sets a ceiling for any of them", range = [0, inf] }
# Support tickets.
tickets_30d = { title = "Support requests, 30 days", description = "Tickets opened.", source = ["support_tickets.opened_at"], window = "30 days", null = "never", range = [0, inf] }
tickets_90d = { title = "Support requests, 90 days", description = "Tickets opened.", source = ["support_tickets.opened_at"], window = "90 days", null = "never", range = [0, inf] }
tickets_365d = { title = "Support requests, 12 months", description = "Tickets opened.", source = ["support_tickets.opened_at"], window = "365 days", null = "never", range = [0, inf] }
open_tickets = { title = "Support requests still open", description = "Open tickets.", source = ["support_tickets.resolved_recorded_at"], window = "365 days", null = "never", range = [0, inf] }
oldest_open_ticket_days = { title = "Age of oldest open request", unit = "days", description = "Days since the oldest open ticket was opened.", source = ["support_tickets.opened_at", "support_tickets.resolved_recorded_at"], window = "365 days", null = "no open ticket", range = [0, 365] }
billing_tickets_365d = { title = "Billing requests, 12 months", description = "Tickets about billing.", source = ["support_tickets.category"], window = "365 days", null = "never", range = [0, inf] }
technical_tickets_90d = { title = "Technical requests, 90 days", description = "Tickets about technical trouble or an outage.", source = ["support_tickets.category"], window = "90 days", null = "never", range = [0, inf] }
urgent_tickets_365d = { title = "Urgent requests, 12 months", description = "Tickets of priority 1.", source = ["support_tickets.priority"], window = "365 days", null = "never", range = [0, inf] }
resolution_hours_mean_365d = { title = "Average time to resolution", unit = "hours", description = "Mean time from opening to resolution, rounded down to whole seconds, of the resolved tickets.", source = ["support_tickets.opened_at", "support_tickets.resolved_at", "support_tickets.resolved_recorded_at"], window = "365 days", null = "no resolved ticket", range = [0, 8760] }
satisfaction_mean_365d = { title = "Average satisfaction (1 to 5)", description = "Mean satisfaction, 1 to 5, of the tickets with a known rating.", source = ["support_tickets.satisfaction", "support_tickets.rated_recorded_at"], window = "365 days", null = "no rating", range = [1, 5] }
days_since_ticket = { title = "Time since last support request", unit = "days", description = "Days since the last ticket was opened.", source = ["support_tickets.opened_at"], window = "365 days", null = "no ticket in the window", range = [0, 365] }
# The customer, where they live and the rules there.
customer_days = { title = "Time as a customer", unit = "days", description = "Days since the customer joined.", source = ["customers.joined_at"], null = "never", range = [0, 36500] }
speaks_french = { title = "Language", description = "1 if the customer chose French, 0 if English.", source = ["customers.language"], null = "never", labels = { 0 = "English", 1 = "French" }, range = [0, 1] }
province_west_to_east = { title = "Province", description = "Number of the province or territory, from west to east.", source = ["customer_addresses.province_code"], null = "no address known", labels = { 1 = "YT", 2 = "NT", 3 = "NU", 4 = "BC", 5 = "AB", 6 = "SK", 7 = "MB", 8 = "ON", 9 = "QC", 10 = "NB", 11 = "NS", 12 = "PE", 13 = "NL" }, range = [1, 13] }
tax_rate = { title = "Sales tax rate", description = "Sales tax of the province at the time, as a share of the price.", source = ["province_rules.value", "customer_addresses.province_code"], null = "no address known, or no tax rate on record for that time, as before 2010", range = [0, 1] }
is_rural = { title = "Rural address", description = "1 if the postal code is a rural one, else 0.", source = ["customer_addresses.postal_code"], null = "no address known", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
is_of_age = { title = "Of age", description = "1 if the customer is of age in the province on the UTC day, else 0; a birthday on 29 February falls on the 28th in common years.", source = ["customers.birth_date", "province_rules.value", "customer_addresses.province_code"], null = "no address known, or no age of majority on record for that time, as before 2010", labels = { 0 = "no", 1 = "yes" }, range = [0, 1] }
address_days = { title = "Time at current address", unit = "days", description = "Days since the customer moved to the address valid at the time.", source = ["customer_addresses.valid_from"], null = "no address known", range = [0, 36500] }

# The same in French.
["features.fr"]
payments_90d = { title = "Paiements, 90 jours", description = "Nombre de paiements réglés.", window = "90 jours" }
payments_365d = { title = "Paiements, 12 mois", description = "Nombre de paiements réglés.", window = "365 jours" }
paid_365d = { title = "Montant payé, 12 mois", unit = "$", description = "Total des paiements réglés.", window = "365 jours" }
payment_mean_365d = { title = "Paiement moyen", unit = "$", description = "Moyenne des paiements réglés.", window = "365 jours", null = "aucun paiement réglé" }
payment_stddev_365d = { title = "Variation des paiements", unit = "$", description = "Écart type (échantillon) des paiements réglés.", window = "365 jours", null = "moins de deux paiements réglés" }
charge_median_365d = { title = "Facturation médiane", unit = "$", description = "Médiane des montants facturés.", window = "365 jours", null = "aucun montant facturé" }
charge_p90_365d = { title = "Facturation élevée (90e centile)", unit = "$", description = "90e centile des montants facturés, interpolé entre les valeurs voisines.", window = "365 jours", null = "aucun montant facturé" }
charge_trend_365d = { title = "Tendance de la facturation", unit = "$ par 30 jours", description = "Pente des moindres carrés des montants facturés selon le temps, en jours entiers avant la date d'observation, arrondis vers le bas.", window = "365 jours", null = "aucun montant facturé à deux jours différents" }
charge_change_90d = { title = "Évolution de la facturation, 90 derniers jours", unit = "$", description = "Moyenne des montants facturés des 90 derniers jours, moins celle des montants facturés il y a de 90 à 365 jours.", window = "365 jours", null = "aucun montant facturé dans l'une des deux périodes" }
failed_payments_90d = { title = "Paiements refusés, 90 jours", description = "Nombre de paiements refusés.", window = "90 jours" }
failed_payments_365d = { title = "Paiements refusés, 12 mois", description = "Nombre de paiements refusés.", window = "365 jours" }
failed_share_365d = { title = "Part des paiements refusés", description = "Part des paiements refusés dans l'ensemble des paiements.", window = "365 jours", null = "aucun paiement" }
days_since_payment = { title = "Temps depuis le dernier paiement", unit = "jours", description = "Nombre de jours depuis le dernier paiement réglé.", window = "365 jours", null = "aucun paiement réglé dans la période" }
days_since_failed_payment = { title = "Temps depuis le dernier paiement refusé", unit = "jours", description = "Nombre de jours depuis le dernier paiement refusé.", window = "365 jours", null = "aucun paiement refusé dans la période" }
payment_gap_max_365d = { title = "Plus long délai entre deux paiements", unit = "jours", description = "Plus longue période entre deux paiements réglés consécutifs.", window = "365 jours", null = "moins de deux paiements réglés" }
fees_365d = { title = "Frais, 12 mois", unit = "$", description = "Total des frais réglés.", window = "365 jours" }
credits_365d = { title = "Crédits et remboursements, 12 mois", unit = "$", description = "Total des crédits et des remboursements réglés.", window = "365 jours" }
unpaid_365d = { title = "Facturé et impayé, 12 mois", unit = "$", description = "Montants facturés, frais et remboursements réglés, moins les paiements et les crédits réglés : ce qui a été facturé sans être payé.", window = "365 jours" }
overdue_365d = { title = "Solde en souffrance", unit = "$", description = "Ce qui a été facturé sans être payé, à l'exclusion des montants et des frais qui échoient le jour de l'observation ou plus tard; 0 si le résultat est négatif.", window = "365 jours" }
preauthorized_share_365d = { title = "Part des paiements préautorisés", description = "Part des paiements préautorisés, réglés ou refusés, dans l'ensemble des paiements.", window = "365 jours", null = "aucun paiement" }
live_subscriptions = { title = "Abonnements actifs", description = "Nombre d'abonnements actifs." }
ended_subscriptions = { title = "Abonnements résiliés", description = "Nombre d'abonnements dont on sait qu'ils ont pris fin." }
has_wireless = { title = "Sans-fil", description = "1 si un abonnement actif est pour le sans-fil, sinon 0.", labels = { 0 = "non", 1 = "oui" } }
has_internet = { title = "Internet", description = "1 si un abonnement actif est pour Internet, sinon 0.", labels = { 0 = "non", 1 = "oui" } }
has_tv = { title = "Télévision", description = "1 si un abonnement actif est pour la télévision, sinon 0.", labels = { 0 = "non", 1 = "oui" } }
tenure_days = { title = "Ancienneté", unit = "jours", description = "Nombre de jours depuis le début du premier abonnement.", null = "aucun abonnement" }
days_since_end = { title = "Temps depuis la dernière résiliation", unit = "jours", description = "Nombre de jours depuis la fin du dernier abonnement à avoir pris fin.", null = "aucun n'a pris fin" }
monthly_price = { title = "Prix mensuel avant taxes", unit = "$", description = "Prix mensuel de tous les abonnements actifs avant taxes, moins les rabais dont la promotion n'est pas terminée.", null = "aucune condition connue" }
monthly_bill = { title = "Facture mensuelle", unit = "$", description = "Prix mensuel avec les taxes de vente de la province à ce moment.", null = "aucune condition ou aucune adresse connue, ou aucun taux de taxe connu pour cette date, comme avant 2010" }
discount_share = { title = "Part des rabais", description = "Part du rabais dans le prix mensuel avant rabais; seul compte ce qui n'est pas terminé.", null = "aucune condition connue, ou tout est gratuit" }
plan_tier = { title = "Gamme du forfait le plus élevé", description = "Gamme la plus élevée parmi les forfaits, 1 étant la plus simple.", null = "aucune condition connue" }
price_rises_365d = { title = "Hausses de prix, 12 mois", description = "Nombre de hausses du prix mensuel avant rabais d'un forfait inchangé, chacune par rapport aux conditions précédentes, qui peuvent être antérieures à la période.", window = "365 jours" }
price_rise_90d = { title = "Hausse de prix, 90 jours", unit = "$", description = "Total des hausses du prix mensuel avant rabais des forfaits inchangés, chacune par rapport aux conditions précédentes, qui peuvent être antérieures à la période.", window = "90 jours" }
contract_months = { title = "Durée du contrat", unit = "mois", description = "Durée du contrat le plus long, 0 si tous sont à durée indéterminée.", null = "aucune condition connue", labels = { 0 = "durée indéterminée" } }
contract_days_left = { title = "Temps avant la fin du contrat", unit = "jours", description = "Nombre de jours avant la prochaine fin de contrat; si tous sont échus, moins le nombre de jours depuis la dernière échéance.", null = "aucun contrat" }
contract_ends_90d = { title = "Contrat qui échoit d'ici 90 jours", description = "1 si un contrat échoit d'ici 90 jours, sinon 0.", window = "90 jours à venir", labels = { 0 = "non", 1 = "oui" } }
promotion_days_left = { title = "Temps avant la fin de la promotion", unit = "jours", description = "Nombre de jours avant la prochaine fin de promotion; si toutes sont terminées, moins le nombre de jours depuis la dernière fin.", null = "aucune promotion" }
promotion_ends_90d = { title = "Promotion qui se termine d'ici 90 jours", description = "1 si une promotion se termine d'ici 90 jours, sinon 0.", window = "90 jours à venir", labels = { 0 = "non", 1 = "oui" } }
promotion_share = { title = "Part des promotions", description = "Ce que les promotions, en cours ou terminées, retranchent ou ont retranché, en part du prix mensuel avant rabais; un rabais sans date de fin n'est pas compté.", null = "aucune condition connue, ou tout est gratuit" }
months_to_24_month_mark = { title = "Temps avant le cap des 24 mois", unit = "mois", description = "Nombre de mois avant que le contrat le plus récent ait 24 mois, le mois en cours étant compté comme écoulé; négatif par la suite.", null = "aucun contrat" }
cancellation_fee = { title = "Frais de résiliation", unit = "$", description = "Montant maximal qu'une résiliation aujourd'hui peut coûter, avant taxes : la somme, pour les abonnements actifs, du plafond le plus bas applicable au service dans la province à ce moment, chacun au cent près, le demi-cent étant arrondi vers le haut. Le plafond est la valeur de l'appareil subventionné, moins une part égale pour chaque mois entamé; sans appareil, pour un contrat à durée déterminée, le moindre d'un montant fixe et d'une part des prix des mois non entamés, chacun moins le rabais si le mois commence avant la fin de la promotion; sinon 0.", null = "aucune règle ne fixe de plafond pour l'un d'eux" }
tickets_30d = { title = "Demandes d'assistance, 30 jours", description = "Nombre de demandes ouvertes.", window = "30 jours" }
tickets_90d = { title = "Demandes d'assistance, 90 jours", description = "Nombre de demandes ouvertes.", window = "90 jours" }
tickets_365d = { title = "Demandes d'assistance, 12 mois", description = "Nombre de demandes ouvertes.", window = "365 jours" }
open_tickets = { title = "Demandes d'assistance en cours", description = "Nombre de demandes qui ne sont pas résolues.", window = "365 jours" }
oldest_open_ticket_days = { title = "Âge de la plus ancienne demande en cours", unit = "jours", description = "Nombre de jours depuis l'ouverture de la plus ancienne demande non résolue.", window = "365 jours", null = "aucune demande en cours" }
billing_tickets_365d = { title = "Demandes sur la facturation, 12 mois", description = "Nombre de demandes au sujet de la facturation.", window = "365 jours" }
technical_tickets_90d = { title = "Demandes techniques, 90 jours", description = "Nombre de demandes au sujet d'un problème technique ou d'une panne.", window = "90 jours" }
urgent_tickets_365d = { title = "Demandes urgentes, 12 mois", description = "Nombre de demandes de priorité 1.", window = "365 jours" }
resolution_hours_mean_365d = { title = "Délai moyen de résolution", unit = "heures", description = "Temps moyen entre l'ouverture et la résolution des demandes résolues, arrondi à la seconde inférieure.", window = "365 jours", null = "aucune demande résolue" }
satisfaction_mean_365d = { title = "Satisfaction moyenne (de 1 à 5)", description = "Satisfaction moyenne, de 1 à 5, pour les demandes dont l'évaluation est connue.", window = "365 jours", null = "aucune évaluation" }
days_since_ticket = { title = "Temps depuis la dernière demande d'assistance", unit = "jours", description = "Nombre de jours depuis l'ouverture de la dernière demande.", window = "365 jours", null = "aucune demande dans la période" }
customer_days = { title = "Client depuis", unit = "jours", description = "Nombre de jours depuis que la personne est cliente." }
speaks_french = { title = "Langue", description = "1 si le client a choisi le français, 0 si c'est l'anglais.", labels = { 0 = "anglais", 1 = "français" } }
province_west_to_east = { title = "Province", description = "Numéro de la province ou du territoire, d'ouest en est.", null = "aucune adresse connue" }
tax_rate = { title = "Taux des taxes de vente", description = "Taxes de vente de la province à ce moment, en part du prix.", null = "aucune adresse connue, ou aucun taux de taxe connu pour cette date, comme avant 2010" }
is_rural = { title = "Adresse en milieu rural", description = "1 si le code postal est celui d'un milieu rural, sinon 0.", null = "aucune adresse connue", labels = { 0 = "non", 1 = "oui" } }
is_of_age = { title = "Majorité atteinte", description = "1 si le client est majeur dans sa province au jour UTC, sinon 0; un anniversaire du 29 février tombe le 28 les années non bissextiles.", null = "aucune adresse connue, ou aucun âge de la majorité connu pour cette date, comme avant 2010", labels = { 0 = "non", 1 = "oui" } }
address_days = { title = "Temps à l'adresse actuelle", unit = "jours", description = "Nombre de jours depuis l'emménagement à l'adresse valide à ce moment.", null = "aucune adresse connue" }
*/
SELECT
  c.customer_id,
  -- transactions
  t.payments_90d::float8 AS payments_90d,
  t.payments_365d::float8 AS payments_365d,
  t.paid_365d / 100 AS paid_365d,
  t.paid_365d / 100 / nullif(t.payments_365d, 0) AS payment_mean_365d,
  CASE WHEN t.payments_365d > 1 THEN
    sqrt(greatest(t.payments_365d * t.paid_squares_365d - t.paid_365d * t.paid_365d, 0)
         / (t.payments_365d::float8 * (t.payments_365d - 1))) / 100 END AS payment_stddev_365d,
  t.charge_percentiles[1] / 100 AS charge_median_365d,
  t.charge_percentiles[2] / 100 AS charge_p90_365d,
  CASE WHEN t.charges_365d * t.day_squares > t.days * t.days THEN
    -- Days count backwards from t, so the slope in time is the negative one.
    (t.days * t.charged_365d - t.charges_365d * t.days_charged)
    / (t.charges_365d * t.day_squares - t.days * t.days) * 30 / 100 END AS charge_trend_365d,
  (t.charged_90d / nullif(t.charges_90d, 0)
   - (t.charged_365d - t.charged_90d) / nullif(t.charges_365d - t.charges_90d, 0)) / 100 AS charge_change_90d,
  t.failed_payments_90d::float8 AS failed_payments_90d,
  t.failed_payments_365d::float8 AS failed_payments_365d,
  t.failed_payments_365d::float8 / nullif(t.failed_payments_365d + t.payments_365d, 0) AS failed_share_365d,
  (w.epoch - date_part('epoch', t.last_paid_at)) / 86400 AS days_since_payment,
  (w.epoch - date_part('epoch', t.last_failed_at)) / 86400 AS days_since_failed_payment,
  date_part('epoch', g.longest_gap) / 86400 AS payment_gap_max_365d,
  t.fees_365d / 100 AS fees_365d,
  t.credits_365d / 100 AS credits_365d,
  t.unpaid_365d / 100 AS unpaid_365d,
  greatest(t.unpaid_365d - t.not_yet_due_365d, 0) / 100 AS overdue_365d,
  t.preauthorized_365d::float8 / nullif(t.failed_payments_365d + t.payments_365d, 0) AS preauthorized_share_365d,
  -- subscriptions and their terms
  s.live::float8 AS live_subscriptions,
  s.ended::float8 AS ended_subscriptions,
  s.has_wireless::int::float8 AS has_wireless,
  s.has_internet::int::float8 AS has_internet,
  s.has_tv::int::float8 AS has_tv,
  (w.epoch - date_part('epoch', s.first_started_at)) / 86400 AS tenure_days,
  (w.epoch - date_part('epoch', s.last_ended_at)) / 86400 AS days_since_end,
  p.price / 100 AS monthly_price,
  staunch.with_tax_cents(p.price, a.tax_rate) / 100 AS monthly_bill,
  p.discount / nullif(p.price + p.discount, 0) AS discount_share,
  p.tier::float8 AS plan_tier,
  p.rises_365d::float8 AS price_rises_365d,
  p.risen_90d / 100 AS price_rise_90d,
  p.contract_months::float8 AS contract_months,
  (coalesce(p.contract_ends_on, p.contract_ended_on) - w.today)::float8 AS contract_days_left,
  staunch.ends_within(p.contract_ends_on, w.today, 90)::int::float8 AS contract_ends_90d,
  (coalesce(p.promotion_ends_on, p.promotion_ended_on) - w.today)::float8 AS promotion_days_left,
  staunch.ends_within(p.promotion_ends_on, w.today, 90)::int::float8 AS promotion_ends_90d,
  p.promotion / nullif(p.price + p.discount, 0) AS promotion_share,
  staunch.months_to_24_month_mark(p.contract_starts_on, w.today)::float8 AS months_to_24_month_mark,
  p.cancellation_fee / 100 AS cancellation_fee,
  -- support tickets
  k.tickets_30d::float8 AS tickets_30d,
  k.tickets_90d::float8 AS tickets_90d,
  k.tickets_365d::float8 AS tickets_365d,
  k.open_tickets::float8 AS open_tickets,
  (w.epoch - date_part('epoch', k.oldest_open_at)) / 86400 AS oldest_open_ticket_days,
  k.billing_365d::float8 AS billing_tickets_365d,
  k.technical_90d::float8 AS technical_tickets_90d,
  k.urgent_365d::float8 AS urgent_tickets_365d,
  k.resolution_s / nullif(k.resolved_365d, 0) / 3600 AS resolution_hours_mean_365d,
  k.satisfaction::float8 / nullif(k.rated_365d, 0) AS satisfaction_mean_365d,
  (w.epoch - date_part('epoch', k.last_opened_at)) / 86400 AS days_since_ticket,
  -- customer and province
  (w.epoch - date_part('epoch', c.joined_at)) / 86400 AS customer_days,
  (c.language = 'fr')::int::float8 AS speaks_french,
  array_position(ARRAY['YT','NT','NU','BC','AB','SK','MB','ON','QC','NB','NS','PE','NL'], a.province_code)::float8 AS province_west_to_east,
  a.tax_rate,
  staunch.postal_code_is_rural(a.postal_code)::int::float8 AS is_rural,
  staunch.is_of_age(c.birth_date, w.today, a.age_of_majority)::int::float8 AS is_of_age,
  (w.epoch - date_part('epoch', a.valid_from)) / 86400 AS address_days,
  s.live > 0 AND (c.erased_at > w.t) IS NOT FALSE AS _eligible,
  -- For whoever asks for somebody by id: the days that the caller could look up, and nothing of the person.
  CASE
    WHEN c.erased_at <= w.t THEN 'erased on ' || to_char(c.erased_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
    WHEN s.live > 0 THEN NULL
    WHEN s.ended > 0 THEN 'the last subscription ended on ' || to_char(s.last_ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
    ELSE 'no subscription had started'
  END AS _why
FROM (
  SELECT
    $2::timestamptz AS t,
    date_part('epoch', $2::timestamptz) AS epoch,
    ($2::timestamptz AT TIME ZONE 'UTC')::date AS today,
    $2::timestamptz - interval '720 hours' AS d30,
    $2::timestamptz - interval '2160 hours' AS d90,
    $2::timestamptz - interval '8760 hours' AS d365,
    -- The reference tables, each read once a statement. Two arrays make an object at a tenth of the cost of
    -- jsonb_object_agg.
    (SELECT jsonb_object(array_agg(plan_code), array_agg(tier::text)) FROM staunch.plans) AS tiers,
    (SELECT jsonb_object(array_agg(rule || ' ' || province_code), array_agg(value::text))
     FROM staunch.province_rules
     WHERE rule IN ('tax_rate', 'age_of_majority')
       AND valid_from <= $2::timestamptz AND valid_to > $2::timestamptz) AS rules
  OFFSET 0
) w
CROSS JOIN unnest($1::bigint[]) AS u (id)
JOIN staunch.customers c
  ON c.customer_id = u.id AND c.joined_at <= $2::timestamptz AND c.recorded_at <= $2::timestamptz
LEFT JOIN LATERAL (
  SELECT
    province_code, postal_code, valid_from,
    (w.rules ->> ('tax_rate ' || province_code))::float8 AS tax_rate,
    (w.rules ->> ('age_of_majority ' || province_code))::float8 AS age_of_majority
  FROM staunch.customer_addresses
  WHERE customer_id = u.id AND valid_from <= $2::timestamptz AND valid_to > $2::timestamptz
    AND recorded_at <= $2::timestamptz AND superseded_at > $2::timestamptz
  ORDER BY valid_from DESC LIMIT 1
) a ON true
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE paid AND in_90d) AS payments_90d,
    count(*) FILTER (WHERE paid) AS payments_365d,
    coalesce(sum(cents) FILTER (WHERE paid), 0) AS paid_365d,
    sum(cents * cents) FILTER (WHERE paid) AS paid_squares_365d,
    max(occurred_at) FILTER (WHERE paid) AS last_paid_at,
    array_agg(occurred_at ORDER BY occurred_at) FILTER (WHERE paid) AS paid_at,
    count(*) FILTER (WHERE failed AND in_90d) AS failed_payments_90d,
    count(*) FILTER (WHERE failed) AS failed_payments_365d,
    max(occurred_at) FILTER (WHERE failed) AS last_failed_at,
    count(*) FILTER (WHERE preauthorized) AS preauthorized_365d,
    count(*) FILTER (WHERE charged AND in_90d) AS charges_90d,
    count(*) FILTER (WHERE charged)::float8 AS charges_365d,
    coalesce(sum(cents) FILTER (WHERE charged AND in_90d), 0) AS charged_90d,
    coalesce(sum(cents) FILTER (WHERE charged), 0) AS charged_365d,
    sum(day) FILTER (WHERE charged) AS days,
    sum(day * day) FILTER (WHERE charged) AS day_squares,
    sum(day * cents) FILTER (WHERE charged) AS days_charged,
    percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY cents) FILTER (WHERE charged) AS charge_percentiles,
    coalesce(sum(cents) FILTER (WHERE settled AND kind = 'fee'), 0) AS fees_365d,
    coalesce(sum(cents) FILTER (WHERE settled AND kind IN ('credit', 'refund')), 0) AS credits_365d,
    coalesce(sum(owed), 0) AS unpaid_365d,
    coalesce(sum(cents) FILTER (WHERE not_yet_due), 0) AS not_yet_due_365d
  FROM (
    SELECT
      occurred_at, kind, settled, cents, in_90d,
      floor((w.epoch - epoch) / 86400) AS day,
      kind = 'payment' AND settled AS paid,
      kind = 'payment' AND NOT settled AS failed,
      kind = 'charge' AND settled AS charged,
      kind = 'payment' AND method = 'pre_authorized' AS preauthorized,
      settled AND kind IN ('charge', 'fee') AND due_on >= w.today AS not_yet_due,
      CASE WHEN NOT settled THEN 0 WHEN kind IN ('charge', 'fee', 'refund') THEN cents ELSE -cents END AS owed
    FROM (
      SELECT
        occurred_at, kind, method, due_on, status = 'settled' AS settled, occurred_at > w.d90 AS in_90d,
        (amount_cents + tax_cents)::float8 AS cents, date_part('epoch', occurred_at) AS epoch
      FROM staunch.transactions
      WHERE customer_id = u.id AND occurred_at <= $2::timestamptz AND occurred_at > w.d365
        AND recorded_at <= $2::timestamptz AND superseded_at > $2::timestamptz
      ORDER BY occurred_at OFFSET 0
    ) known
    ORDER BY occurred_at OFFSET 0
  ) seen
) t
CROSS JOIN LATERAL (
  SELECT max(later - earlier) AS longest_gap
  FROM (SELECT unnest(t.paid_at) AS earlier, unnest(t.paid_at[2:]) AS later) gap
) g
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE live) AS live,
    count(*) FILTER (WHERE NOT live) AS ended,
    coalesce(bool_or(live AND service = 'wireless'), false) AS has_wireless,
    coalesce(bool_or(live AND service = 'internet'), false) AS has_internet,
    coalesce(bool_or(live AND service = 'tv'), false) AS has_tv,
    min(started_at) AS first_started_at,
    max(ended_at) FILTER (WHERE NOT live) AS last_ended_at,
    array_agg(subscription_id) FILTER (WHERE live) AS live_ids,
    array_agg(service) FILTER (WHERE live) AS live_services
  FROM (
    SELECT subscription_id, service, started_at, ended_at,
      (ended_recorded_at <= $2::timestamptz) IS NOT TRUE AS live
    FROM staunch.subscriptions
    WHERE customer_id = u.id AND started_at <= $2::timestamptz AND started_recorded_at <= $2::timestamptz
      AND superseded_at > $2::timestamptz
    OFFSET 0
  ) known
) s
CROSS JOIN LATERAL (
  SELECT
    sum(net) FILTER (WHERE now) AS price,
    sum(discount) FILTER (WHERE now) AS discount,
    coalesce(sum(promotion) FILTER (WHERE now AND promotion_ends_on IS NOT NULL), 0) AS promotion,
    max((w.tiers ->> plan_code)::int) FILTER (WHERE now) AS tier,
    count(*) FILTER (WHERE rise > 0 AND valid_from > w.d365) AS rises_365d,
    coalesce(sum(rise) FILTER (WHERE rise > 0 AND valid_from > w.d90), 0) AS risen_90d,
    max(contract_months) FILTER (WHERE now) AS contract_months,
    max(contract_starts_on) FILTER (WHERE now AND contract_months > 0) AS contract_starts_on,
    sum(fee) AS cancellation_fee,
    min(contract_ends_on) FILTER (WHERE now AND contract_ends_on > w.today) AS contract_ends_on,
    max(contract_ends_on) FILTER (WHERE now) AS contract_ended_on,
    min(promotion_ends_on) FILTER (WHERE now AND promotion_ends_on > w.today) AS promotion_ends_on,
    max(promotion_ends_on) FILTER (WHERE now) AS promotion_ended_on
  FROM (
    SELECT
      plan_code, contract_months, contract_starts_on, contract_ends_on, promotion_ends_on, valid_from, now,
      discount, promotion,
      price - discount AS net,
      CASE WHEN plan_code = lag(plan_code) OVER before THEN price - lag(price) OVER before END AS rise,
      CASE WHEN now THEN (
        SELECT f.fee_cents::float8
        FROM staunch.cancellation_fee(
          s.live_services[array_position(s.live_ids, subscription_id)], a.province_code, $2::timestamptz,
          contract_months, contract_starts_on, monthly_price_cents, inducement_cents, inducement_kind,
          discount_cents, promotion_ends_on) AS f
      ) END AS fee
    FROM (
      SELECT
        subscription_id, plan_code, contract_months, contract_starts_on, contract_ends_on, promotion_ends_on,
        valid_from, monthly_price_cents, discount_cents, inducement_cents, inducement_kind,
        monthly_price_cents::float8 AS price,
        CASE WHEN promotion_ends_on <= w.today THEN 0 ELSE discount_cents END::float8 AS discount,
        discount_cents::float8 AS promotion,
        valid_to > $2::timestamptz AS now
      FROM staunch.subscription_terms
      WHERE customer_id = u.id AND valid_from <= $2::timestamptz
        AND recorded_at <= $2::timestamptz AND superseded_at > $2::timestamptz
      ORDER BY valid_from OFFSET 0
    ) known
    WHERE subscription_id = ANY (s.live_ids)
    WINDOW before AS (PARTITION BY subscription_id ORDER BY valid_from)
  ) seen
) p
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE opened_at > w.d30) AS tickets_30d,
    count(*) FILTER (WHERE opened_at > w.d90) AS tickets_90d,
    count(*) AS tickets_365d,
    count(*) FILTER (WHERE NOT resolved) AS open_tickets,
    min(opened_at) FILTER (WHERE NOT resolved) AS oldest_open_at,
    count(*) FILTER (WHERE category = 'billing') AS billing_365d,
    count(*) FILTER (WHERE category IN ('technical', 'outage') AND opened_at > w.d90) AS technical_90d,
    count(*) FILTER (WHERE priority = 1) AS urgent_365d,
    sum(floor(date_part('epoch', resolved_at) - date_part('epoch', opened_at))) FILTER (WHERE resolved) AS resolution_s,
    count(*) FILTER (WHERE resolved) AS resolved_365d,
    sum(satisfaction) FILTER (WHERE rated) AS satisfaction,
    count(*) FILTER (WHERE rated) AS rated_365d,
    max(opened_at) AS last_opened_at
  FROM (
    SELECT
      opened_at, category, priority, resolved_at, satisfaction,
      (resolved_recorded_at <= $2::timestamptz) IS TRUE AS resolved,
      (rated_recorded_at <= $2::timestamptz) IS TRUE AS rated
    FROM staunch.support_tickets
    WHERE customer_id = u.id AND opened_at <= $2::timestamptz AND opened_at > w.d365
      AND recorded_at <= $2::timestamptz AND superseded_at > $2::timestamptz
      AND category <> 'cancellation'
    ORDER BY opened_at OFFSET 0
  ) known
) k
