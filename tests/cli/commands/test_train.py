"""`staunch train`: what a simulated world in the database has to say to a training, and to which."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import WORLD_UNTIL
from tests.harness.databases import in_own_loop

import staunch_sql
from staunch_cli.commands.train import TrainArguments, refuse_unwritable_store, train_settings
from staunch_cli.main import command_parser
from staunch_cli.shared.database import DatabaseUrls
from staunch_cli.shared.errors import CommandError
from staunch_features.postgres.connection import connect
from staunch_features.views.file import load_label, load_view, parse_label, parse_view

SHIPPED = load_label("churn", [staunch_sql.LABELS_FOLDER])
MINE = replace(SHIPPED, file=str(Path("views") / "labels" / "churn.sql"))
CHURN = load_view("churn", [staunch_sql.FEATURES_FOLDER])
_VIEW = """/* staunch
description = "A guest of a hotel that shares the database with a simulated world."
entity = "guest"
population = "SELECT id FROM public.guests"
[features]
nights = { description = "Nights so far.", null = "never" }
*/
SELECT id, date_part('day', $2::timestamptz - came_at) AS nights
FROM unnest($1::bigint[]) AS u (id) JOIN public.guests USING (id)
"""
_LABEL = """/* staunch
description = "The guest has left."
horizon_days = 10
gap_days = 0
observation_days = 0
*/
SELECT id, came_at < $3::timestamptz AS left FROM public.guests WHERE id = ANY ($1::bigint[])
"""
_WORLDLY = "EXISTS (SELECT FROM staunch.customers WHERE customer_id = id) AS left FROM"


@pytest.fixture(scope="module")
def world(simulated_world: DatabaseUrls) -> DatabaseUrls:
    in_own_loop(_open_hotel(simulated_world.owner))
    return simulated_world


async def _open_hotel(owner_url: str) -> None:
    connection = await connect(owner_url)
    await connection.execute("CREATE TABLE public.guests (id bigint, came_at timestamptz)")
    await connection.execute("GRANT SELECT ON public.guests TO staunch_reader")
    await connection.close()


def _arguments(*words: str) -> TrainArguments:
    parsed = command_parser("train").parse_args(["train", *words])
    return parsed.handler.arguments(parsed)


@pytest.mark.parametrize(("label", "known"), [(SHIPPED, True), (MINE, False)], ids=["ours", "a user's"])
async def test_the_true_hazard_is_asked_for_the_label_that_it_is_the_hazard_of(world, label, known):
    settings = await train_settings(_arguments(), world, CHURN, label)
    assert (settings.ceiling is not None) == known
    assert settings.until == WORLD_UNTIL


async def test_a_date_given_goes_before_the_end_of_the_world(world):
    settings = await train_settings(_arguments("--until", "2026-06-01"), world, CHURN, SHIPPED)
    assert settings.until == datetime(2026, 6, 1, tzinfo=UTC)


async def test_a_date_that_has_not_come_yet_is_refused_unless_the_world_knows_it(world):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    after = max(tomorrow, (WORLD_UNTIL + timedelta(days=1)).date())
    with pytest.raises(CommandError, match=rf"expected --until to be today, .* got {after}: the outcome of"):
        await train_settings(_arguments("--until", f"{after}"), world, CHURN, SHIPPED)
    settings = await train_settings(_arguments("--until", f"{WORLD_UNTIL:%Y-%m-%d}"), world, CHURN, SHIPPED)
    assert settings.until == WORLD_UNTIL


async def test_without_a_world_rows_end_now_and_nobody_knows_the_ceiling(database):
    settings = await train_settings(
        _arguments(), DatabaseUrls(database.owner_url, database.reader_url), CHURN, SHIPPED
    )
    assert (settings.until, settings.ceiling) == (None, None)


@pytest.mark.parametrize(
    ("label", "until"),
    [(_LABEL, None), (_LABEL.replace("came_at < $3::timestamptz AS left FROM", _WORLDLY), WORLD_UNTIL)],
    ids=["its own", "the world's"],
)
async def test_rows_end_with_the_world_only_for_a_view_or_label_that_reads_it(world, label, until):
    view, label = parse_view("hotel", _VIEW, "hotel.sql"), parse_label("hotel", label, "hotel.sql")
    assert (await train_settings(_arguments(), world, view, label)).until == until


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_read(staunch, tmp_path):
    (tmp_path / "file").touch()
    for store in (tmp_path / "file", tmp_path / "file" / "models"):
        result = staunch("train", "--store", store, "--database-url", "postgresql://nobody@127.0.0.1:1/none")
        assert result.code == 1
        assert result.err == (
            f'staunch: expected {store} to be a store that can be written, got "Not a directory": '
            "name another with --store (STAUNCH_STORE)\n"
        )
    refuse_unwritable_store(tmp_path / "new" / "models")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seed", "-1"], "argument --seed: expected a whole number from 0 to 2^31 - 1, got '-1'"),
        (["--seed", "4294967296"], "got '4294967296'"),
        (["--seed", "9" * 5000], "argument --seed: expected a whole number"),
        (["--leak-limit", "nan"], "argument --leak-limit: expected a number, got 'nan'"),
        (["--offer-cost-cad", "dear"], "argument --offer-cost-cad: expected a number, got 'dear'"),
        (["--customer-value-cad", "inf"], "expected a number, got 'inf'"),
    ],
)
def test_numbers_that_no_training_can_use_are_misuse(staunch, words, expected):
    result = staunch("train", *words)
    assert result.code == 2
    assert expected in result.err
