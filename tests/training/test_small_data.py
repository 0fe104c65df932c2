"""Tables that are small, rare, constant, null or huge: a version of whole figures, or a line why none."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from staunch_features.postgres.connection import opened
from staunch_features.views.file import parse_label, parse_view
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore
from staunch_training.errors import NotEnoughRows, TrainingError
from staunch_training.train import TrainReport, TrainSettings, train

LARGEST = float(np.finfo(np.float32).max)

# A column of a table: from its labels and a source of chance to values, of which NaN is null.
COLUMNS = {
    "noise": lambda y, r: r.normal(size=len(y)),
    "hint": lambda y, r: y + r.normal(size=len(y)),
    "answer": lambda y, r: y.astype(float),
    "constant": lambda y, r: np.full(len(y), 7.0),
    "null": lambda y, r: np.full(len(y), np.nan),
    "null if true": lambda y, r: np.where(y, np.nan, 1.0),
    "few values": lambda y, r: r.integers(0, 2, len(y)).astype(float),
    "huge": lambda y, r: r.choice([LARGEST, -LARGEST, 0.0], len(y)),
    "tiny": lambda y, r: r.choice([5e-324, 1e-45, 0.0], len(y)),
    "one null": lambda y, r: np.where(np.arange(len(y)) == 0, np.nan, r.normal(size=len(y))),
}

TABLE = """
DROP TABLE IF EXISTS shop.small;
CREATE TABLE shop.small (key text, income float8, visits float8, noise float8, left_us boolean, person text);
GRANT SELECT ON shop.small TO staunch_reader;
"""


async def train_on(
    shop: Any,
    store: ModelStore,
    labels: NDArray[np.bool_],
    columns: Sequence[str] = ("noise", "hint", "noise"),
    *,
    people: int | None = None,
    **changes: Any,
) -> TrainReport:
    """Trains on a table of these labels and columns; None people: each row is its own."""
    chance = np.random.default_rng(3)
    values = [COLUMNS[name](labels, chance) for name in columns]
    records = [
        (
            f"k{n:05d}",
            *(None if np.isnan(v[n]) else float(v[n]) for v in values),
            bool(y),
            people and f"p{n % people}",
        )
        for n, y in enumerate(labels)
    ]
    async with opened(shop.owner_url) as connection:
        await connection.execute(TABLE)
        await connection.copy_records_to_table("small", schema_name="shop", records=records)
    texts = (shop.flat_view().text, shop.flat_label().text)
    view, label = (text.replace("shop.flat", "shop.small") for text in texts)
    label = label.replace("f.left_us FROM", "f.left_us, f.person AS _group FROM")
    how = {"leak_limit": 1.1, "resamples": 5} | changes
    return await train(
        shop.reader_url,
        parse_view("flat", view.replace('null = "never"', 'null = "not told"'), "flat.sql"),
        parse_label("left", label, "left.sql"),
        store,
        TrainSettings(**how),
        lambda stage, done: None,
    )


async def end_of_training(*given: Any, **how: Any) -> TrainReport | TrainingError:
    """What a training gives, or why it gave nothing; whatever else is raised is an error of ours."""
    try:
        return await train_on(*given, **how)
    except TrainingError as error:
        return error


def whole_figures(report: TrainReport) -> dict[str, Any]:
    """The manifest as strict JSON reads it: a NaN or an infinity in it is an error."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    manifest: dict[str, Any] = json.loads(report.stored.manifest_bytes, parse_constant=refuse)
    return manifest


@settings(max_examples=8)
@given(
    labels=st.one_of(
        st.lists(st.booleans(), min_size=1, max_size=40),
        st.lists(st.sampled_from([True, False, False, False]), min_size=30, max_size=200),
        st.builds(lambda n, true: [i < true for i in range(n)], st.integers(20, 400), st.integers(4, 20)),
    ),
    columns=st.lists(st.sampled_from(sorted(COLUMNS)), min_size=3, max_size=3),
    people=st.sampled_from([1, 4, 12, None]),
    learner=st.sampled_from(["random_forest", "xgboost", None]),
    seed=st.integers(0, 5),
)
async def test_any_small_table_becomes_a_version_of_whole_figures_or_one_line(
    shop: Any, tmp_path_factory: pytest.TempPathFactory, labels: list[bool], **how: Any
) -> None:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    ended = await end_of_training(shop, store, np.array(labels), **how)
    assert "nan" not in str(ended)
    if isinstance(ended, TrainReport):
        assert whole_figures(ended)["metrics"]
    else:
        assert "\n" not in str(ended)
        assert store.names() == []


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


async def test_a_fold_that_knows_one_answer_only_leaves_the_mean_out_and_says_so(
    shop: Any, store: ModelStore
) -> None:
    """Sixty rows, twelve of them true: with this seed none of them is in the fifth fold, which has no AUC."""
    report = await train_on(shop, store, np.arange(60) % 5 == 0, seed=0)
    metrics = {metric["name"] for metric in whole_figures(report)["metrics"]}
    assert "auc" in metrics
    assert "auc_in_5_folds" not in metrics
    assert "auc_in_5_folds not measured: of 5 parts of the customers, one knows one answer only;" in str(
        report
    )


async def test_folds_that_know_both_answers_have_their_mean_and_nothing_more_is_said(
    shop: Any, store: ModelStore
) -> None:
    report = await train_on(shop, store, np.arange(300) % 3 == 0)
    assert whole_figures(report)["metrics"][-1]["name"] == "auc_in_5_folds"
    assert "not measured" not in str(report)


@pytest.mark.parametrize("seed", [1, 42])
async def test_a_label_that_is_true_for_15_of_5000_rows_is_learned_from_or_refused(
    shop: Any, store: ModelStore, seed: int
) -> None:
    ended = await end_of_training(
        shop, store, np.arange(5000) % 334 == 0, seed=seed, learner="xgboost", resamples=5
    )
    if isinstance(ended, TrainReport):
        assert whole_figures(ended)
    else:
        assert "rows with the label and 2 without, got" in str(ended)


@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize("answer", [True, False])
async def test_a_label_of_one_answer_is_refused_with_what_to_do(
    shop: Any, store: ModelStore, count: int, answer: bool
) -> None:
    with pytest.raises(NotEnoughRows, match=r"see that the label (can be both|returns rows)"):
        await train_on(shop, store, np.full(count, answer))
    assert store.names() == []


@pytest.mark.parametrize(
    "columns", [["constant"] * 3, ["null"] * 3, ["huge"] * 3, ["tiny"] * 3, ["answer"] * 3]
)
async def test_columns_that_say_nothing_or_all_are_learned_from(
    shop: Any, store: ModelStore, columns: list[str]
) -> None:
    """A single leaf, leaves at the ends of float32, or margins as far apart as they come."""
    report = await train_on(shop, store, np.arange(400) % 4 == 0, columns)
    assert LoadedModel.load(report.stored)  # its golden rows hold
    assert whole_figures(report)["base_value"] < 0.5
