"""Every reason, given by the real thing: its metadata have exactly the keys and values that its table says.

What any other test of the server sees refused is held to the table too: `every_refusal_keeps_its_promises`.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.promises import is_path
from tests.server.harness.running import Publish, Running, Serve
from tests.server.harness.shell import StartShell
from tests.server.small_models import PEOPLE_COLUMNS, stamp, view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.errors import DatabaseUnavailable
from staunch_features.views.signature import features_digest
from staunch_model_store.store import ModelStore
from staunch_server.errors import KEYS, Reason, Refusal, Violation, refusal_of
from staunch_server.statuses import of_key, shortened

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=2)
AT = NOON.isoformat()
TOLD = view_text().replace("\n[features]", '\neligible = "is active"\n\n[features]', 1)
TOLD = TOLD.replace(" AS _eligible", " AS _eligible, 'left'::text AS _why")

predict = pb.PredictRequest
Metadata = Mapping[str, Any]


def values(**given: float | str) -> dict[str, Value]:
    return {
        name: Value(string_value=one) if isinstance(one, str) else Value(number_value=one)
        for name, one in given.items()
    }


def features(**given: float | str) -> pb.FeatureValues:
    return pb.FeatureValues(values=values(**given))


ANY = object()
WHOLE = features(a=1, b=1, hours=1)
CHURN: Metadata = {"model": "churn@3", "count": "1"}

CALLS: list[tuple[Reason, str, Any, Metadata]] = [
    (Reason.SUBJECT_MISSING, "Predict", predict(), {}),
    (
        Reason.CUSTOMER_ID_INVALID,
        "Predict",
        predict(customer_id=-5),
        {"field": "customer_id", "customer": "-5", "id_type": "int64"},
    ),
    (
        Reason.ID_TYPE_MISMATCH,
        "Predict",
        predict(customer_key="x"),
        {"field": "customer_key", "expected": "customer_id", "id_type": "int64"},
    ),
    (
        Reason.FEATURE_UNKNOWN,
        "Predict",
        predict(customer_id=8, overrides=values(**{'z"': 1})),
        CHURN | {"field": r'overrides["z\""]'},
    ),
    (
        Reason.FEATURE_MISSING,
        "Predict",
        predict(features=features(a=1)),
        CHURN | {"field": 'features.values["b"]', "count": "2"},
    ),
    (
        Reason.FEATURE_TYPE_MISMATCH,
        "Explain",
        pb.ExplainRequest(customer_id=8, overrides=values(a="5")),
        CHURN | {"field": 'overrides["a"]', "got": "a text"},
    ),
    (
        Reason.FEATURE_NOT_FINITE,
        "Predict",
        predict(customer_id=8, overrides=values(b=1e39)),
        CHURN | {"field": 'overrides["b"]', "limit": "3.4e+38"},
    ),
    (
        Reason.FEATURES_MISMATCH,
        "Explain",
        pb.ExplainRequest(packed_features=pb.PackedFeatures(values=[1, 1, 1], features_digest="sha256:0")),
        {
            "model": "churn@3",
            "field": "packed_features.features_digest",
            "expected": features_digest(PEOPLE_COLUMNS),
            "got": "sha256:0",
        },
    ),
    (Reason.OVERRIDE_NOT_ALLOWED, "Predict", predict(features=WHOLE, overrides=values(a=1)), {}),
    (
        Reason.AS_OF_IN_FUTURE,
        "Predict",
        predict(customer_id=8, as_of_time=stamp(LATER)),
        {"as_of_time": LATER.isoformat(), "server_time": ANY, "ahead_s": ANY, "limit_s": "5"},
    ),
    (
        Reason.AS_OF_NOT_ALLOWED,
        "Predict",
        predict(features=WHOLE, as_of_time=stamp(NOON)),
        {"view": "people"},
    ),
    (
        Reason.MESSAGE_TOO_LARGE,
        "Predict",
        predict(model="x" * 300_000),
        {"size_bytes": "300004", "limit_bytes": "262144"},
    ),
    (
        Reason.FIELD_INVALID,
        "ListModels",
        mpb.ListModelsRequest(page_size=-1),
        {"field": "page_size", "expected": "0 or more", "got": "-1"},
    ),
    (
        Reason.CUSTOMER_NOT_FOUND,
        "Predict",
        predict(customer_id=999, as_of_time=stamp(NOON)),
        {"customer": "999", "view": "people", "as_of_time": AT, "known_now": "false"},
    ),
    (
        Reason.CUSTOMER_NOT_ELIGIBLE,
        "Predict",
        predict(customer_id=11, as_of_time=stamp(NOON)),
        {"customer": "11", "view": "people", "eligible": "is active", "as_of_time": AT, "why": "left"},
    ),
    (
        Reason.MODEL_NOT_FOUND,
        "Predict",
        predict(model="gym@7"),
        {"model": "gym@7", "available": "gym@1, gym@champion"},
    ),
    (Reason.MODEL_NOT_LOADED, "Predict", predict(model="churn@2"), {"model": "churn@2", "limit": "1"}),
    (Reason.MODEL_REFUSED, "Predict", predict(model="bad@1"), {"model": "bad@1", "problem": ANY}),
    (Reason.EXPLAINER_MISSING, "Explain", pb.ExplainRequest(model="gym"), {"model": "gym@1"}),
    (
        Reason.ALIAS_MOVED,
        "SetAlias",
        mpb.SetAliasRequest(name="churn", alias="champion", version=1, expected_version=0),
        {"alias": "churn@champion", "expected_version": "0", "current_version": "3"},
    ),
    (
        Reason.ALIAS_LIMIT,
        "SetAlias",
        mpb.SetAliasRequest(name="full", alias="more", version=1),
        {"alias": "full@more", "limit": "100"},
    ),
]
"""Calls of a server of churn (three versions), gym (no explainer) and bad (damaged), and their metadata."""

CHUNKS: list[tuple[Reason, pb.BatchPredictRequest, Metadata]] = [
    (Reason.CHUNK_EMPTY, pb.BatchPredictRequest(), {"field": "customer_ids", "limit": "10000"}),
    (
        Reason.CHUNK_TOO_LARGE,
        pb.BatchPredictRequest(customer_ids=[8] * 10_001),
        {"field": "customer_ids", "limit": "10000", "count": "10001"},
    ),
    (
        Reason.MODEL_CHANGED_IN_STREAM,
        pb.BatchPredictRequest(model="gym", customer_ids=[8]),
        {"field": "model", "expected": "churn@3", "got": "gym"},
    ),
]
"""Later chunks of a stream."""

GUARDED = {
    Reason.MALFORMED_MESSAGE,
    Reason.METHOD_UNKNOWN,
    Reason.OVERLOADED,
    Reason.STREAM_IDLE,
    Reason.DRAINING,
    Reason.INTERNAL,
}
ELSEWHERE = {
    Reason.MESSAGE_MISSING,
    Reason.DATABASE_UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED,
    Reason.MODEL_NOT_READY,
    Reason.ALIAS_NOT_FOLLOWED,  # in process/channel/test_siblings.py
    Reason.STORE_UNAVAILABLE,  # in models/test_hanging_store.py
}


def is_as_expected(metadata: Metadata, expected: Metadata) -> bool:
    return metadata.keys() == expected.keys() and all(
        one is ANY or metadata[key] == one for key, one in expected.items()
    )


async def ask(live: Running, method: str, request: Any) -> Metadata:
    stub = live.models if hasattr(live.models, method) else live.prediction
    error = await failure(getattr(stub, method)(request))
    (info,) = error.infos
    return {"reason": info.reason, **info.metadata}


async def test_each_refusal_of_a_call_has_exactly_its_metadata(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    for _ in range(3):
        publish(text=TOLD)
    publish("gym", explainer=False)
    publish("bad")
    (store.root / "bad/versions/1/model.onnx").write_bytes(b"damaged")
    publish("full")
    for number in range(99):
        store.set_alias("full", f"a{number}", 1)
    live = await serve(named_versions=1)
    await live.prediction.Predict(predict(model="churn@1", customer_id=8))
    for reason, method, request, expected in CALLS:
        metadata = await ask(live, method, request)
        assert is_as_expected(metadata, {"reason": reason.name, **expected}), metadata
    first = pb.BatchPredictRequest(customer_ids=[8])
    stream = live.prediction.BatchPredict(iter([first, *(chunk for _, chunk, _ in CHUNKS)]))
    _, *answers = [answer async for answer in stream]
    for (reason, _, expected), answer in zip(CHUNKS, answers, strict=True):
        error = answer.chunk_error
        assert (error.reason, dict(error.metadata)) == (reason.name, expected)


async def test_each_refusal_before_a_handler_has_exactly_its_metadata(shell: StartShell) -> None:
    async def waiting(request: Any, call: Any) -> pb.PredictResponse:
        if request.model:
            raise RuntimeError
        await asyncio.sleep(60)
        raise AssertionError

    server = await shell(predict=waiting, max_calls=1, stream_idle_s=0.1)
    told = {}

    async def take(call: Any) -> None:
        (info,) = (await failure(call)).infos
        told[info.reason] = dict(info.metadata)

    await take(server.channel.unary_unary("/no.Such/Method")(b""))
    await take(server.predict(b"\xff"))
    await take(server.predict(predict(model="x").SerializeToString()))
    await take(server.batch().read())
    holding = asyncio.ensure_future(server.predict())
    await until(lambda: server.guard.calls == 1)
    await take(server.predict())
    server.guard.drain()
    await take(server.predict())
    holding.cancel()
    incident = told["INTERNAL"].pop("incident_id")
    assert len(incident) == 16
    assert told == {
        "METHOD_UNKNOWN": {},
        "MALFORMED_MESSAGE": {"message_type": "staunch.v1.PredictRequest", "size_bytes": "1"},
        "INTERNAL": {},
        "STREAM_IDLE": {"limit_s": "0.1"},
        "OVERLOADED": {"what": "calls", "limit": "1"},
        "DRAINING": {},
    }
    assert {Reason[name] for name in told} == GUARDED


async def test_a_server_without_models_names_the_one_that_is_to_come(serve: Serve) -> None:
    metadata = await ask(await serve(), "Predict", predict(customer_id=8))
    assert metadata == {"reason": "MODEL_NOT_READY", "model": "churn"}


@pytest.mark.parametrize("error", [DatabaseUnavailable("10.0.0.1 refused"), TimeoutError()])
def test_a_message_without_dynamic_parts_needs_no_metadata(error: Exception) -> None:
    refusal = refusal_of(error, "churn@3")
    assert refusal is not None
    assert refusal.metadata == {}
    assert refusal.reason in ELSEWHERE


def test_no_reason_and_no_key_is_left_out() -> None:
    called = {reason for reason, *_ in CALLS} | {reason for reason, *_ in CHUNKS}
    assert called | GUARDED | ELSEWHERE == set(Reason)
    keys = [{*reason.keys, *reason.keys_at_times} for reason in Reason]
    assert set().union(*keys) == KEYS.keys()
    assert list(KEYS) == sorted(KEYS)


@pytest.mark.parametrize(
    "name", ["tenure_days", "x" * 63, "x" * 500, 'a"b\\c', "\0" * 500, "é" * 500, "漢" * 40, '"' * 80, ""]
)
def test_a_path_is_one_however_odd_the_key(name: str) -> None:
    wrong = [Violation(of_key("features.values", name), "is no feature of the model")]
    (violation,) = shortened(Refusal(Reason.FEATURE_UNKNOWN, "No.", wrong)).violations
    assert is_path(violation.field)
    if len(name) <= 63 and name.isascii() and name.isidentifier():
        assert violation.field == f'features.values["{name}"]'


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("customer_id", True),
        ("customer_ids[3]", True),
        ("expected_version", True),
        ('overrides["x"]', True),
        ("overrides", True),
        ("overrides[x]", False),
        ("overrides[3]", False),
        ('customer_ids["x"]', False),
        ("customer_id[3]", False),
        ("features.values", True),
        ("features.nothing", False),
        ("subject", False),
        ("customerId", False),
        ("customer_id.", False),
        ("", False),
    ],
)
def test_what_a_path_is(path: str, leads: bool) -> None:
    assert is_path(path) is leads
