-- Runs a label text; every parameter is named here, so that the text may leave out those it does not need.
SELECT labelled.*
FROM (VALUES ($1::{ids}, $2::timestamptz, $3::timestamptz, $4::timestamptz)) AS parameters (ids, t, opens, closes)
CROSS JOIN (
{statement}
) AS labelled
