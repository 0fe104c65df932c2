"""Many views on one server, of which one breaks: at the start, or when its tables change under the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value
from grpc_health.v1 import health_pb2
from tests.harness.databases import DatabaseFactory, TestDatabase, execute
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.outages import hanging_store
from tests.server.harness.running import Publish, Running, Serve
from tests.server.small_models import TABLE, view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.postgres.connection import opened
from staunch_model_store.store import ModelStore
from staunch_server.types import Version

WITHOUT_B = view_text().replace("people.b,", "people.a AS b,")
BREAK, MEND = "ALTER TABLE public.people RENAME b TO c", "ALTER TABLE public.people RENAME c TO b"


@dataclass(frozen=True)
class Changing:
    """A database of people whose tables the test may change: `await changing(sql)`."""

    database: TestDatabase

    @property
    def url(self) -> str:
        return self.database.reader_url

    async def __call__(self, sql: str) -> None:
        async with opened(self.database.owner_url) as connection:
            await connection.execute(sql)

    @asynccontextmanager
    async def holding(self, sql: str) -> AsyncIterator[None]:
        """Runs SQL in a transaction that is left open for the block."""
        async with opened(self.database.owner_url) as connection, connection.transaction():
            await connection.execute(sql)
            yield


@pytest.fixture
def changing(database_factory: DatabaseFactory) -> Changing:
    """A database of people of the test's own."""
    made = database_factory()
    execute(made.owner_url, TABLE)
    return Changing(made)


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
def serve_two(publish: Publish, serve: Serve, changing: Changing) -> Start:
    """Serves two models, of which `churn` needs the column b and `spend` does not; takes settings."""

    async def start(**settings: Any) -> Running:
        publish("churn")
        publish("spend", text=WITHOUT_B)
        return await serve(database_reader_url=changing.url, **({"store_poll_s": 0.05} | settings))

    return start


@pytest.fixture
async def live(serve_two: Start) -> Running:
    """The two models with the usual settings."""
    return await serve_two()


async def state(live: Running, model: str) -> tuple[int, str, str]:
    found = (await live.models.GetModel(mpb.GetModelRequest(model=model))).model
    return found.state, found.state_reason, found.state_message


async def predict(live: Running, model: str) -> pb.PredictResponse:
    return await live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8))


async def reason(live: Running, model: str) -> str:
    return (await failure(predict(live, model))).reason


async def chunk(live: Running, model: str) -> pb.BatchPredictResponse:
    request = pb.BatchPredictRequest(model=model, customer_ids=[1, 2, 3])
    (answer,) = [one async for one in live.prediction.BatchPredict(iter([request]))]
    return answer


def shown(live: Running, model: str) -> set[str]:
    """The states that the metric tells of a model."""
    samples = live.server.metrics.model_info.collect()[0].samples
    return {s.labels["state"] for s in samples if s.labels["model"] == model and s.value == 1}


async def assert_broken_beside_a_sound_one(live: Running) -> None:
    assert await reason(live, "churn") == "MODEL_REFUSED"
    refused, why, message = await state(live, "churn@1")
    assert (refused, why) == (mpb.MODEL_STATE_REFUSED, "MODEL_REFUSED")
    assert "churn@1/features.sql" in message
    assert "column people.b does not exist" in message
    assert shown(live, "churn") == {"REFUSED"}
    assert (await predict(live, "spend")).model.name == "spend"
    sound = await chunk(live, "spend")
    assert not sound.HasField("chunk_error")
    assert not sound.row_errors
    assert (await state(live, "spend@1"))[0] == mpb.MODEL_STATE_READY
    assert shown(live, "spend") == {"READY"}


async def test_a_view_that_is_broken_at_the_start_leaves_the_others_serving_and_shows(
    publish: Publish, serve: Serve, changing: Changing
) -> None:
    publish("churn")
    publish("spend", text=WITHOUT_B)
    await changing(BREAK)
    await assert_broken_beside_a_sound_one(await serve(database_reader_url=changing.url))


async def test_a_view_that_breaks_under_the_server_leaves_the_others_serving_and_shows(
    live: Running, changing: Changing
) -> None:
    await predict(live, "churn")
    assert shown(live, "churn") == {"READY"}
    await changing(BREAK)
    await assert_broken_beside_a_sound_one(live)


async def test_a_stream_finds_a_broken_view_out_too(live: Running, changing: Changing) -> None:
    await changing(BREAK)
    error = (await chunk(live, "churn")).chunk_error
    assert error.reason == "MODEL_REFUSED"
    assert (await state(live, "churn@1"))[0] == mpb.MODEL_STATE_REFUSED


async def test_a_broken_view_is_found_out_without_a_call(serve_two: Start, changing: Changing) -> None:
    live = await serve_two(view_look_s=0.1)
    await changing(BREAK)
    await until(lambda: shown(live, "churn") == {"REFUSED"})
    assert shown(live, "spend") == {"READY"}


async def test_a_view_that_works_and_was_read_lately_is_left_alone(serve_two: Start) -> None:
    live = await serve_two(view_look_s=3600, store_poll_s=0.01)
    held = [live.server.registry.held(Version(name, 1)) for name in ("churn", "spend")]
    looked_at = [served.view.looked_at for served in held if served is not None]
    await asyncio.sleep(0.1)  # ten looks at the store
    assert [served.view.looked_at for served in held if served is not None] == looked_at


async def test_a_view_that_fails_is_looked_at_though_one_that_was_read_before_it_is_not_due(
    serve_two: Start, changing: Changing
) -> None:
    live = await serve_two(view_look_s=3600)
    await predict(live, "churn")  # So that `spend` is the one read longest ago.
    await changing(BREAK)
    await failure(predict(live, "churn"))
    assert shown(live, "churn") == {"REFUSED"}
    await changing(MEND)
    await until(lambda: shown(live, "churn") == {"READY"})


async def test_a_reload_finds_a_mended_view_at_once(serve_two: Start, changing: Changing) -> None:
    live = await serve_two(store_poll_s=3600)
    await changing(BREAK)
    await failure(predict(live, "churn"))
    await changing(MEND)
    assert shown(live, "churn") == {"REFUSED"}
    await live.server.registry.reload()
    assert shown(live, "churn") == {"READY"}


async def test_a_right_that_is_taken_away_breaks_a_view_too(live: Running, changing: Changing) -> None:
    await changing("REVOKE SELECT ON public.people FROM PUBLIC")
    assert await reason(live, "churn") == "MODEL_REFUSED"
    assert "permission denied" in (await state(live, "churn@1"))[2]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("SELECT people", "hello people", 11, "expected a SELECT that only reads, got hello"),
        ("SELECT people", "DELETE FROM people; SELECT people", 11, "expected one statement"),
        ("\nJOIN", "\nFOR UPDATE JOIN", 13, "expected a SELECT that only reads, got FOR UPDATE"),
        ("people.b,", "people.b::int AS b,", 11, "expected feature b as float8, got int4"),
        ("people.b,", "people.c,", 11, "column people.c does not exist"),
        ("people.b,", "random() AS b,", 11, "random answers differently at another time"),
        ("SELECT people.id,", "SELECT", 11, "expected the id as first column, bigint as in $1, got a float8"),
        ('population = "', 'color = "red"\npopulation = "', 4, "header key color: no such key"),
        ("[features]", '[features]\nc = { description = "C.", null = "never" }', 7, "not returned: c"),
    ],
)
async def test_what_is_no_view_is_refused_with_line_and_mend_before_it_answers(
    publish: Publish, serve: Serve, old: str, new: str, line: int, message: str
) -> None:
    publish("churn", text=view_text().replace(old, new))
    live = await serve()
    assert await reason(live, "churn@1") == "MODEL_REFUSED"
    # What is a statement may be right of another database, so it is in place; of the rest nothing answers.
    in_place = live.server.registry.verified()
    assert await reason(live, "churn") == ("MODEL_REFUSED" if in_place else "MODEL_NOT_READY")
    refused, why, told = await state(live, "churn@1")
    assert (refused, why) == (mpb.MODEL_STATE_REFUSED, "MODEL_REFUSED")
    assert f"churn@1/features.sql:{line}: " in told
    assert message in told
    assert "; " in told.partition(message)[2]  # the mend


async def test_a_clock_within_a_function_is_refused_with_its_name(
    publish: Publish, serve: Serve, changing: Changing
) -> None:
    await changing(
        "CREATE FUNCTION public.today() RETURNS float8 LANGUAGE plpgsql STABLE "
        "AS $$ BEGIN RETURN date_part('day', current_date); END $$"
    )
    publish("churn", text=view_text().replace("people.b,", "people.b + 0 * public.today() AS b,"))
    live = await serve(database_reader_url=changing.url)
    assert await reason(live, "churn") == "MODEL_REFUSED"
    message = (await state(live, "churn@1"))[2]
    assert message.startswith("churn@1/features.sql:11: CURRENT_DATE in function today() answers differently")
    assert "let the function take the moment as an argument" in message


async def test_a_view_whose_tables_are_mended_answers_again_by_itself(
    live: Running, changing: Changing, caplog: Any
) -> None:
    caplog.set_level("INFO")
    await changing(BREAK)
    assert await reason(live, "churn") == "MODEL_REFUSED"
    await changing(MEND)
    await until(lambda: shown(live, "churn") == {"READY"})
    said = [record.getMessage() for record in caplog.records if record.name == "staunch.models"]
    assert said[0].startswith("churn@1: refused: churn@1/features.sql")
    assert said[1:] == ["churn@1: well again"]
    assert (await predict(live, "churn")).model.name == "churn"
    assert await state(live, "churn@1") == (mpb.MODEL_STATE_READY, "", "")


@pytest.fixture
def serve_three(publish: Publish, serve: Serve, changing: Changing) -> Start:
    """Serves three models whose views read a table each; that of `churn` is not there at the start."""

    async def start(**settings: Any) -> Running:
        for name in ("churn", "spend", "visits"):
            publish(name, text=view_text().replace("public.people", f"public.{name}"))
            if name != "churn":
                await changing(f"CREATE TABLE public.{name} AS TABLE public.people")
                await changing(f"GRANT SELECT ON public.{name} TO PUBLIC")
        return await serve(database_reader_url=changing.url, **({"store_poll_s": 0.05} | settings))

    return start


@pytest.fixture
async def three(serve_three: Start) -> Running:
    """The three models with the usual settings."""
    return await serve_three()


async def states(live: Running) -> dict[str, tuple[int, str, set[str]]]:
    """Of each model what GetModel says, what a call answers, and what the metric shows."""
    told = {}
    for model in ("churn", "spend", "visits"):
        call = live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8))
        told[model] = ((await state(live, model))[0], (await call.code()).name, shown(live, model))
    return told


WELL = (mpb.MODEL_STATE_READY, "OK", {"READY"})
ILL = (mpb.MODEL_STATE_REFUSED, "FAILED_PRECONDITION", {"REFUSED"})


async def test_of_three_views_two_break_and_are_mended_and_state_and_metric_follow(
    serve_three: Start, changing: Changing
) -> None:
    three = await serve_three(view_look_s=0.5)
    assert await states(three) == {"churn": ILL, "spend": WELL, "visits": WELL}
    assert three.server.registry.ready() == ["spend@1", "visits@1"]
    await changing("ALTER TABLE public.spend ALTER b TYPE text USING 'b' || b")
    await until(lambda: shown(three, "spend") == {"REFUSED"})  # though nobody calls it
    assert await states(three) == {"churn": ILL, "spend": ILL, "visits": WELL}
    sound = await chunk(three, "visits")
    assert not sound.HasField("chunk_error")
    assert not sound.row_errors
    assert 'relation "public.churn" does not exist' in (await state(three, "churn"))[2]
    assert "expected feature b as float8, got text" in (await state(three, "spend"))[2]
    await changing("CREATE TABLE public.churn AS TABLE public.people; GRANT SELECT ON public.churn TO PUBLIC")
    await changing("ALTER TABLE public.spend ALTER b TYPE float8 USING substr(b, 2)::float8")
    await until(lambda: shown(three, "churn") == shown(three, "spend") == {"READY"}, 2)
    assert await states(three) == {"churn": WELL, "spend": WELL, "visits": WELL}
    assert three.server.registry.ready() == ["churn@1", "spend@1", "visits@1"]


async def test_a_dropped_table_breaks_its_view_until_it_is_made_again(
    three: Running, changing: Changing
) -> None:
    await changing("ALTER TABLE public.spend RENAME TO kept")
    assert (await states(three))["spend"][1] == "FAILED_PRECONDITION"
    assert await states(three) == {"churn": ILL, "spend": ILL, "visits": WELL}
    await changing("CREATE TABLE public.spend AS TABLE public.kept; GRANT SELECT ON public.spend TO PUBLIC")
    await until(lambda: shown(three, "spend") == {"READY"}, 2)
    assert (await states(three))["spend"] == WELL


async def health(live: Running) -> tuple[int, bool]:
    method = live.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = health_pb2.HealthCheckResponse.FromString(await method(b""))
    return answer.status, not live.server.why_not_serving()


@pytest.mark.parametrize("when", ["at the start", "under the server"])
async def test_health_stays_serving_while_the_only_view_fails(
    publish: Publish, serve: Serve, changing: Changing, when: str
) -> None:
    """The database is the same for every server: if all of them left their balancer, who would be helped?"""
    publish("churn")
    if when == "at the start":
        await changing(BREAK)
    live = await serve(database_reader_url=changing.url)
    if when == "under the server":
        await predict(live, "churn")
        await changing(BREAK)
    assert await reason(live, "churn") == "MODEL_REFUSED"
    assert await health(live) == (health_pb2.HealthCheckResponse.SERVING, True)
    assert live.server.registry.ready() == []
    given = {name: Value(number_value=1) for name in ("a", "b", "hours")}
    scored = await live.prediction.Predict(pb.PredictRequest(features=pb.FeatureValues(values=given)))
    assert scored.probability > 0


async def test_a_view_that_takes_other_ids_than_its_model_was_trained_on_is_refused_and_says_so(
    publish: Publish, serve: Serve, changing: Changing
) -> None:
    publish("churn", text=view_text("text"))
    live = await serve(database_reader_url=changing.url)
    assert await reason(live, "churn") == "MODEL_REFUSED"
    refused, _, message = await state(live, "churn@1")
    assert refused == mpb.MODEL_STATE_REFUSED
    assert "churn@1/features.sql: expected the view to give int64, got text; bring the" in message


async def test_a_newer_version_takes_over_once_its_view_works(
    live: Running, changing: Changing, publish: Publish
) -> None:
    publish(text=view_text().replace("people.b,", "people.c AS b,"))
    await until(lambda: "REFUSED" in shown(live, "churn"))
    assert (await predict(live, "churn")).model.version == 1
    await changing("ALTER TABLE public.people ADD c float8")
    await until(lambda: shown(live, "churn") == {"READY"})
    await until(lambda: _answered_by(live, 2))


async def _answered_by(live: Running, version: int) -> bool:
    return bool((await predict(live, "churn")).model.version == version)


async def test_a_view_whose_table_is_locked_keeps_no_other_from_being_found_mended(
    serve_three: Start, changing: Changing
) -> None:
    three = await serve_three(view_look_s=0.0, view_check_s=0.2)
    async with changing.holding("LOCK TABLE public.spend"):
        await changing("ALTER TABLE public.visits RENAME b TO c")
        await until(lambda: shown(three, "visits") == {"REFUSED"})
        await changing("ALTER TABLE public.visits RENAME c TO b")
        await until(lambda: shown(three, "visits") == {"READY"})


async def test_no_alias_moves_to_a_version_whose_view_broke(
    live: Running, changing: Changing, publish: Publish, store: ModelStore
) -> None:
    await changing(BREAK)
    await reason(live, "churn")
    request = mpb.SetAliasRequest(name="churn", alias="challenger", version=1)
    assert (await failure(live.models.SetAlias(request))).reason == "MODEL_REFUSED"
    assert store.aliases("churn") == {"champion": 1}


async def test_a_version_that_never_fitted_says_so_once_a_request_has_named_it(
    live: Running, publish: Publish
) -> None:
    publish(text=view_text().replace("people.b,", "people.b AS c,"), alias=None)
    assert await reason(live, "churn@2") == "MODEL_REFUSED"
    assert (await state(live, "churn@2"))[0] == mpb.MODEL_STATE_REFUSED
    assert (await state(live, "churn@1"))[0] == mpb.MODEL_STATE_READY


async def test_views_are_looked_at_also_while_the_store_hangs(
    changing: Changing, serve_two: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await serve_two(view_look_s=0)
    with monkeypatch.context() as patched:
        back = hanging_store(patched)
        try:
            await asyncio.sleep(0.1)  # the next look at the store hangs
            await changing(BREAK)
            await until(lambda: live.server.registry.ready() == ["spend@1"])
            await changing(MEND)
            await until(lambda: live.server.registry.ready() == ["churn@1", "spend@1"])
        finally:
            back.set()
