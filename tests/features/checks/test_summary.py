"""A view for people: summaries that can be recomputed, text, and the page of features."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tools.docs_pages import view_page

from staunch_features.checks.summary import bars, describe, summarise
from staunch_features.errors import ViewError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[3]
MANY = """SELECT u.id, (u.id % 10)::float8 AS a, nullif(u.id, 7)::float8 AS b
FROM unnest($1::bigint[]) AS u (id) WHERE u.id <= 100"""
TRUE_ABOVE_80 = "SELECT u.id, u.id > 80 AS left FROM unnest($1::bigint[]) AS u (id) WHERE u.id > 10"


@pytest.fixture
def many(clients):
    return clients.view(MANY, population="SELECT n::bigint FROM generate_series(1, 120) AS n")


async def test_a_summary_counts_what_is_there(clients, many):
    summary = await summarise(clients.database, many, None, None)
    a, b = summary.features
    assert (summary.rows, summary.label_share, summary.as_of) == (100, None, None)
    assert (a.nulls, a.quantiles[0], a.quantiles[2], a.quantiles[4]) == (0, 0, 4.5, 9)
    assert a.spread == (10,) * 10
    assert (b.nulls, b.trend) == (0.01, ())


async def test_a_trend_is_the_share_of_true_labels_from_low_to_high(clients, many):
    summary = await summarise(clients.database, many, clients.label(TRUE_ABOVE_80), None)
    assert summary.rows == 90
    assert summary.label_share == pytest.approx(20 / 90)
    a, b = summary.features
    assert a.trend == pytest.approx((2 / 9,) * 5)
    assert a.centres == (0.5, 2.5, 4.5, 6.5, 8.5)
    assert a.sizes == (18,) * 5
    assert b.trend[:3] == (0, 0, 0)
    assert b.trend[-1] == 1
    assert b.null_trend is None


async def test_a_column_without_values_has_no_picture(clients):
    view = clients.view(
        "SELECT id, a, NULL::float8 AS b FROM unnest($1::bigint[]) AS u (id) JOIN clients_bigint USING (id)",
        population="SELECT id FROM clients_bigint",
    )
    summary = await summarise(clients.database, view, None, None)
    assert (summary.features[1].nulls, summary.features[1].quantiles, summary.features[1].spread) == (
        1,
        (),
        (),
    )
    assert "null (100.0%): not told" in describe(summary)


async def test_a_population_without_rows_is_told(clients):
    view = clients.view(population="SELECT 99::bigint")
    text = describe(await summarise(clients.database, view, None, NOON))
    assert "0 rows as of 2026-01-01 12:00 UTC." in text


async def test_the_text_tells_each_feature(clients, many):
    text = describe(await summarise(clients.database, many, clients.label(TRUE_ABOVE_80), None))
    assert "A client.\n90 rows, label true for 22.2%." in text
    assert "b [CAD]\n  B.\n" in text
    assert "null (0.0%): not told" in text
    assert "label 0.0% 0.0% 0.0%" in text
    assert "of 18 18 18 18 18 rows" in text
    assert "\n  null (0.0%): not told\n" in text  # what it is read from is not said
    b = replace(many.features["b"], source=("t.b", "t.c"), window="90 days")
    told = replace(many, features={**many.features, "b": b})
    assert "\n  from t.b, t.c, over 90 days; null (1.0%): not told\n" in describe(
        await summarise(clients.database, told, None, None)
    )
    alone = replace(many, features={**many.features, "b": replace(b, source=())})
    assert "\n  over 90 days; null" in describe(await summarise(clients.database, alone, None, None))


async def test_the_text_and_the_page_tell_who_is_eligible(clients, many):
    told = replace(clients.view(), eligible="has a contract", population="SELECT 1::bigint")
    for text in (describe(await summarise(clients.database, told, None, NOON)), view_page(told)):
        assert "- Eligible, so trained on and scored, is who has a contract.\n" in text
    assert "Eligible" not in view_page(replace(many, eligible="is eligible")) + view_page(many)


async def test_the_text_and_the_page_tell_the_rules_of_the_view(clients, many):
    rules = ("A day is a UTC day.", "Eligible is who " + "is there and " * 9 + "has not left.")
    told = replace(many, rules=rules)
    text = describe(await summarise(clients.database, told, None, None))
    assert "\n\n  - A day is a UTC day.\n  - Eligible is who is there" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "".join(f"- {rule}\n" for rule in rules) in view_page(told)
    assert "- A day" not in view_page(many)


async def test_the_text_says_what_its_figures_and_bars_are(clients, many):
    labelled = describe(await summarise(clients.database, many, clients.label(TRUE_ABOVE_80), None))
    assert "from the 1st to the 99th percentile" in labelled
    assert "least … 10th percentile … median … 90th … greatest" in labelled
    assert "label  the share of true ones" in labelled
    assert max(map(len, labelled.splitlines())) <= 100
    assert "share of true" not in describe(await summarise(clients.database, many, None, None))


async def test_without_figures_there_is_nothing_to_say_of_them(clients):
    nobody = clients.view(population="SELECT 99::bigint")
    assert "percentile" not in describe(await summarise(clients.database, nobody, None, NOON))


@pytest.mark.parametrize(
    ("heights", "drawn"), [([], ""), ([0, 0], "▁▁"), ([1, 2, 4, 8], "▂▃▅█"), ([0.1, 0.2], "▅█")]
)
def test_bars_are_as_high_as_the_numbers(heights, drawn):
    assert bars(heights) == drawn


def test_the_page_names_every_feature(churn_view):
    text = view_page(churn_view)
    assert all(
        f"| `{name}` |" in text and doc.description in text for name, doc in churn_view.features.items()
    )
    assert all(f"- {rule}\n" in text for rule in churn_view.rules)
    assert "Eligible, so trained on and scored, is who has a live subscription" in text


async def test_an_infinite_feature_is_named_and_not_drawn(clients):
    view = clients.view(a="'Infinity'::float8", population="SELECT id FROM clients_bigint ORDER BY id")
    with pytest.raises(
        ViewError, match=r"feature a is infinite: id \d as of .* UTC; let it be a finite number"
    ):
        await summarise(clients.database, view, None, NOON)
