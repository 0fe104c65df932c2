"""Pictures of a view: the strongest feature first, missing shown, and what is cut off; a page is a page."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.cli.printing.gym import VIEW

from staunch_cli.pictures.panel import wilson_interval
from staunch_cli.pictures.view_pages import plot, refuse_too_many
from staunch_cli.pictures.words import picture_words
from staunch_cli.shared.errors import CommandError
from staunch_features.checks.distribution.feature_summary import FeatureSummary, Histogram, summarise_feature
from staunch_features.checks.summary import ViewSummary
from staunch_features.views.feature_doc import FeatureDoc
from staunch_features.views.types import FeatureColumn

RNG = np.random.default_rng(7)
ROWS = 1200
TRUTH = RNG.random(ROWS) < 0.2


def summary(quantiles=(0.0, 2.0, 5.0, 8.0, 10.0), trend=(0.02, 0.1), sizes=(2000, 2000)) -> ViewSummary:
    """One feature that lies between 0 and 10 but for what the quantiles say."""
    feature = FeatureSummary(
        column=FeatureColumn(name="visits", type="number", nullable=False, unit="", description="Visits."),
        doc=VIEW.features["visits"],
        nulls=0.0,
        quantiles=quantiles,
        limits=(0.0, 10.0),
        spread=(1, 2, 3, 4, 5, 5, 4, 3, 2, 1),
        centres=(2.5, 7.5),
        trend=trend,
        sizes=sizes,
        null_trend=None,
        histogram=Histogram(tuple(np.linspace(0, 10, 11)), (1, 2, 3, 4, 5, 5, 4, 3, 2, 1)),
    )
    return ViewSummary(VIEW, datetime(2026, 1, 1, tzinfo=UTC), 30, 0.06, (feature,))


def drawn(tmp_path: Path, found: ViewSummary, language: str = "en") -> str:
    """The picture's texts: matplotlib names each in a comment of its SVG."""
    plot(found, picture_words(language), tmp_path / "gym.svg", ".svg")
    return (tmp_path / "gym.svg").read_text()


def feature(name: str, values: np.ndarray, truth: np.ndarray | None = TRUTH, **doc: object) -> FeatureSummary:
    column = FeatureColumn(name=name, type="number", nullable=True, unit="", description="")
    texts = {"unit": "", "description": "D.", "source": (), "window": "", "null": "gone", "title": name}
    return summarise_feature(column, FeatureDoc(**(texts | doc)), values, truth)


def view_of(*features: FeatureSummary, share: float | None = 0.2) -> ViewSummary:
    return ViewSummary(VIEW, datetime(2026, 1, 1, tzinfo=UTC), ROWS, share, features)


def written(texts: str) -> list[str]:
    return re.findall(r"<!-- (.*?) -->", texts)


@pytest.mark.parametrize(
    ("quantiles", "note"),
    [
        ((0.0, 2.0, 5.0, 8.0, 10.0), ""),
        ((0.0, 2.0, 5.0, 8.0, 13952.0), "last bar: to 13,952"),
        ((-3.0, 2.0, 5.0, 8.0, 10.0), "first bar: from -3"),
        ((-3.0, 2.0, 5.0, 8.0, 99.0), "first bar: from -3, last bar: to 99"),
    ],
)
def test_rows_that_an_outer_bar_gathers_are_shown(tmp_path, quantiles, note):
    texts = drawn(tmp_path, summary(quantiles))
    assert f"<!-- {note} -->" in texts or not note
    assert ("bar:" in texts) == bool(note)


def test_a_tick_of_two_and_a_half_percent_says_so(tmp_path):
    texts = drawn(tmp_path, summary(trend=(0.02, 0.07)))
    ticks = re.findall(r"<!-- ([\d.]+%) -->", texts)
    assert ticks[:4] == ["0%", "2.5%", "5%", "7.5%"]


def test_the_strongest_feature_stands_first_and_the_page_says_by_what(tmp_path):
    strong, weak = TRUTH + RNG.normal(0, 0.5, ROWS), RNG.normal(size=ROWS)
    texts = written(drawn(tmp_path, view_of(feature("Weak", weak), feature("Strong", strong))))
    assert texts.index("Strong") < texts.index("Weak")
    assert any(text.startswith("strength 0.8") or text.startswith("strength 0.9") for text in texts)
    assert any(text.startswith("Sorted by strength: ") for text in texts)


def test_without_labels_the_view_s_order_stays_and_the_page_says_so(tmp_path):
    some = [feature(name, RNG.normal(size=ROWS), None) for name in ("First", "Second")]
    texts = written(drawn(tmp_path, view_of(*some, share=None)))
    assert texts.index("First") < texts.index("Second")
    assert any("order of the view" in text for text in texts)
    assert not any("label true" in text for text in texts)


def test_coded_values_have_a_bar_each_with_its_label_below(tmp_path):
    labels = {1.0: "ON", 2.0: "QC", 3.0: "BC"}
    texts = written(
        drawn(tmp_path, view_of(feature("Province", RNG.integers(1, 4, ROWS) * 1.0, labels=labels)))
    )
    assert [text for text in texts if text in labels.values()] == ["ON", "QC", "BC"]


def test_a_number_has_its_unit_below_and_missing_is_a_bar_with_rate_and_count(tmp_path):
    values = np.where(np.arange(ROWS) % 4 == 0, np.nan, RNG.normal(50, 20, ROWS))
    texts = written(drawn(tmp_path, view_of(feature("Tenure", values, unit="days"))))
    assert "days" in texts
    assert any("missing 25.0% (300)" in text for text in texts)
    assert texts.count("missing") == 2  # below the bar, and in the legend


@pytest.mark.parametrize("values", [np.full(ROWS, 3.0), np.full(ROWS, np.nan), np.full(ROWS, 1e18)])
def test_what_is_always_the_same_or_always_missing_is_drawn(tmp_path, values):
    assert "Odd" in written(drawn(tmp_path, view_of(feature("Odd", values))))


def test_a_dollar_is_a_dollar_and_french_is_french(tmp_path):
    some = feature("Payé en $, sans $ de taxe", RNG.normal(size=ROWS) * 1e4, unit="$ par 30 jours")
    texts = written(drawn(tmp_path, view_of(some), "fr-CA"))
    assert "Payé en $, sans $ de taxe" in texts
    assert "$ par 30 jours" in texts
    assert "1\u00a0200 lignes en date du 2026-01-01, étiquette vraie pour 20,0\u00a0%" in texts


def test_many_features_are_pages_of_a_pdf_and_one_picture_else(tmp_path):
    some = [feature(f"Feature {number}", RNG.normal(size=ROWS)) for number in range(17)]
    plot(view_of(*some), picture_words("en"), tmp_path / "pages", ".pdf")
    pages = (tmp_path / "pages").read_bytes()
    assert pages.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pages)) == 2
    assert len(re.findall(r"Feature \d+ -->", drawn(tmp_path, view_of(*some)))) == 17


def test_so_many_features_that_no_png_holds_them_are_refused_with_what_does():
    refuse_too_many(5000, ".pdf")
    refuse_too_many(600, ".png")
    with pytest.raises(
        CommandError, match=r"let --out end in \.pdf, which has pages, or choose some by --feature"
    ):
        refuse_too_many(1600, ".png")


@pytest.mark.parametrize(("rows", "lower", "upper"), [(18, 0.01, 0.258), (4000, 0.049, 0.063)])
def test_a_share_of_few_rows_is_shown_as_less_certain(rows, lower, upper):
    low, high = wilson_interval(np.array([1 / 18]), np.array([rows]))
    assert low[0] == pytest.approx(lower, abs=1e-3)
    assert high[0] == pytest.approx(upper, abs=1e-3)


def test_a_share_of_none_is_uncertain_too():
    low, high = wilson_interval(np.array([0.0, 1.0]), np.array([10, 10]))
    assert low[0] == pytest.approx(0, abs=1e-12)
    assert high[0] == pytest.approx(0.278, abs=1e-3)
    assert (low[1], high[1]) == (pytest.approx(1 - 0.278, abs=1e-3), pytest.approx(1))


def test_the_title_of_a_view_is_set_as_the_language_sets_a_colon(tmp_path):
    found = view_of(feature("x", RNG.random(ROWS)))
    heads = [
        [text for text in written(drawn(tmp_path, found, code)) if VIEW.name in text] for code in ("en", "fr")
    ]
    assert [head[0].partition(":")[0] for head in heads] == [VIEW.name, f"{VIEW.name}\u00a0"]
