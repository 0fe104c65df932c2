"""The view of a gym's members, of which the tests here print things."""

from staunch_features.views.file import parse_view

VIEW = parse_view(
    "gym",
    """/* staunch
description = "A member."
entity = "member"
population = "SELECT 1"

[features]
visits = { description = "Visits.", null = "never" }
*/
SELECT id, 1::float8 AS visits FROM unnest($1::bigint[]) AS u (id)""",
    "gym.sql",
)
