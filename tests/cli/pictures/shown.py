"""Draws the pictures of docs/views.md: `make docs`. A test says when they are old.

The view is the gym's of that page; its rows are drawn by a seed, so that every machine draws the same.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from staunch import (
    Contribution,
    Explanation,
    ExplanationMethod,
    ModelReference,
    OutputSpace,
    Prediction,
    RiskBand,
)
from staunch_cli.pictures import view_pages, waterfall
from staunch_cli.pictures.words import picture_words
from staunch_features.checks.distribution.feature_summary import summarise_feature
from staunch_features.checks.summary import ViewSummary
from staunch_features.views.file import FeatureView, parse_view
from staunch_features.views.types import FeatureColumn

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
PAGE = FOLDER.parent / "views.md"
_MEMBERS = 3000
_MOMENT = datetime(2026, 11, 22, 16, 29, tzinfo=UTC)
_WHY = {
    "is_yearly": (1.0, -0.3544),
    "visits_30d": (6.0, -0.3394),
    "days_since_visit": (2.119, -0.2347),
    "member_days": (298.3, 0.0518),
    "visits_90d": (17.0, -0.0094),
}
_AVERAGE, _OUTPUT = -2.958, -3.845


def main(arguments: Sequence[str]) -> int:
    """Draws the pictures into the folder named, or into docs/pictures."""
    draw_all(Path(arguments[0]) if arguments else FOLDER)
    return 0


def draw_all(folder: Path) -> None:
    """Draws both pictures of the page.

    Args:
        folder: Where to; it is made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    view, words = _view(), picture_words("en")
    view_pages.plot(_summary(view), words, folder / "view-plot.png", ".png")
    waterfall.draw(_explanation(view), 9, words, folder / "explain-plot.png", ".png")


def _view() -> FeatureView:
    (text,) = re.findall(r"^`views/features/gym\.sql`:\n\n```sql\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return parse_view("gym", text, "gym.sql")


def _summary(view: FeatureView) -> ViewSummary:
    values, leaves = _members()
    return ViewSummary(
        view=view,
        as_of=_MOMENT,
        rows=_MEMBERS,
        label_share=float(leaves.mean()),
        features=tuple(
            summarise_feature(FeatureColumn(name, "number", True, "", ""), doc, values[name], leaves)
            for name, doc in view.features.items()
        ),
    )


def _members() -> tuple[Mapping[str, NDArray[np.float64]], NDArray[np.bool_]]:
    """Draws members: who comes seldom leaves sooner, and who pays by the year stays longer."""
    draws = np.random.default_rng(42)
    every_days = 2 + 12 * draws.random(_MEMBERS) ** 1.5
    yearly = draws.random(_MEMBERS) < 0.3
    visits_30d = draws.poisson(30 / every_days)
    last = np.where(visits_30d > 0, draws.exponential(every_days), 30 + draws.exponential(60, _MEMBERS))
    odds = -3.6 + 0.22 * every_days - 1.1 * yearly
    values = {
        "member_days": 1095 * draws.random(_MEMBERS),
        "is_yearly": yearly.astype(float),
        "visits_30d": visits_30d.astype(float),
        "visits_90d": (visits_30d + draws.poisson(60 / every_days)).astype(float),
        "days_since_visit": np.where(last > 90, np.nan, last),
    }
    return values, draws.random(_MEMBERS) < 1 / (1 + np.exp(-odds))


def _explanation(view: FeatureView) -> Explanation:
    parts = (
        Contribution(
            name,
            value,
            share,
            False,
            view.features[name].title,
            view.features[name].unit,
            view.features[name].labels.get(value, ""),
        )
        for name, (value, share) in _WHY.items()
    )
    return Explanation(
        prediction=Prediction(
            0.0209, RiskBand.LOW, ModelReference("gym", 1, "sha256:0"), _MOMENT, features=None
        ),
        output_space=OutputSpace.LOG_ODDS,
        method=ExplanationMethod.TREE_PATH_DEPENDENT,
        base_value=_AVERAGE,
        output_value=_OUTPUT,
        contributions=tuple(parts),
        remainder=0.0,
        remainder_count=0,
        additivity_error=0.0,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
