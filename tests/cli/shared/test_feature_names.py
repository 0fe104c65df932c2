"""Who misspells a feature is told the nearest, whether a name or a title was meant."""

import pytest

from staunch_cli.shared.feature_names import unknown_feature

TITLES = {
    "tenure_days": ["Tenure", "Ancienneté"],
    "province_west_to_east": ["Province"],
    "has_tv": ["Television", ""],
    "monthly_bill": ["Monthly bill"],
    "tv": [],
}


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("tenure_dais", "did you mean tenure_days?"),
        ("Tenure", "did you mean tenure_days?"),
        ("anciennete", "did you mean tenure_days?"),
        ("province", "did you mean province_west_to_east?"),
        ("Monthly Bill", "did you mean monthly_bill?"),
        ("TV", "did you mean tv?"),
        ("monthly_bil", "did you mean monthly_bill?"),
        ("zzz", "`staunch show` lists them"),
        ("", "`staunch show` lists them"),
    ],
)
def test_the_nearest_are_named_by_name_or_title(asked, hint):
    refusal = unknown_feature(asked, TITLES, "a feature of x", "staunch show")
    assert str(refusal) == f"expected a feature of x, got {asked!r}: {hint}"


def test_no_more_than_three_are_named():
    titles = {f"tickets_{days}d": [f"Tickets, {days} days"] for days in (30, 60, 90, 120, 365)}
    hint = str(unknown_feature("tickets_d", titles, "a feature", "staunch show"))
    assert hint.count("tickets_") - 1 == 3  # and the one asked for
