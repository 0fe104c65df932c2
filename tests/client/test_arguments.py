"""What callers give by mistake, over both clients, every method and every parameter.

One rule: accepted where it has a meaning, else TypeError where the type is wrong and ValueError where the
value is, before anything is sent. A parameter that has no line in these tables fails the tests.
"""

import asyncio
import inspect
import math
import uuid
from collections.abc import Awaitable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any

import grpc
import numpy
import pandas
import pyarrow
import pytest
from tests.client.harness.either import EitherClient
from tests.client.harness.scripted import Scripted

from staunch import AsyncClient, Client, ModelReference
from staunch import _arguments as arguments
from staunch._settings import BatchArguments
from staunch._wire import model as read_model
from staunch.v1 import model_service_pb2 as models_pb

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHURN_3 = ModelReference("churn", 3, "sha256:3")


class Number(IntEnum):
    SEVEN = 7


class Key(StrEnum):
    SEVEN = "007"


USUAL: dict[str, dict[str, Any]] = {
    "predict": {"customer": 42},
    "explain": {"customer": 42},
    "batch_predict": {"customers": [42]},
    "batch_predict_frame": {"frame": pandas.DataFrame({"customer_id": [42]})},
    "batch_predict_frames": {"frames": [pandas.DataFrame({"customer_id": [42]})]},
    "list_models": {},
    "get_model": {},
    "set_alias": {"name": "churn", "alias": "champion", "version": 3},
    "delete_alias": {"name": "churn", "alias": "champion"},
    "reload_models": {},
    "is_ready": {},
    "wait_until_ready": {},
    "close": {},
}
"""Arguments with which each method works."""

NO_NUMBERS = [
    numpy.str_("41"),
    numpy.bytes_(b"41"),
    numpy.array("41"),
    numpy.complex128(41),
    numpy.datetime64(41, "ns"),
    numpy.timedelta64(41, "ns"),
    numpy.timedelta64(41, "s"),
    numpy.void(b"41"),
]
"""Numpy's scalars that have a __float__, or fail in it, and are no numbers."""

WRONG_FEATURES = [
    ([("age", 1)], TypeError),
    ("age", TypeError),
    (3, TypeError),
    ({1: 1.0}, TypeError),
    ({"age": "41"}, TypeError),
    ({"age": b"41"}, TypeError),
    ({"age": 1j}, TypeError),
    ({"age": [1]}, TypeError),
    ({"age": numpy.array([1.0])}, TypeError),
    ({"age": MOMENT}, TypeError),
    *(({"age": value}, TypeError) for value in NO_NUMBERS),
    ({"age": 10**400}, ValueError),
    ({"age": Decimal("sNaN")}, ValueError),
    ({"\ud800": 1.0}, ValueError),
    (pandas.DataFrame({"age": [1.0]}), TypeError),
]
WRONG_MODEL = [
    (3, TypeError),
    (None, TypeError),
    (b"churn", TypeError),
    (("churn", 3), TypeError),
    ("chu\ud800rn", ValueError),
]
WRONG_TEXT = [
    (3, TypeError),
    (None, TypeError),
    (b"churn", TypeError),
    (CHURN_3, TypeError),
    ("\udfff", ValueError),
]
WRONG_WHOLE = [
    (1.0, TypeError),
    (1.5, TypeError),
    (True, TypeError),
    ("1", TypeError),
    (numpy.True_, TypeError),
]
WRONG_SECONDS = [
    (0, ValueError),
    (0.0, ValueError),
    (-1, ValueError),
    (-0.0, ValueError),
    (-math.inf, ValueError),
    (math.nan, ValueError),
    (Decimal("NaN"), ValueError),
    (True, TypeError),
    ("5", TypeError),
    (b"5", TypeError),
    ([5], TypeError),
    (numpy.array([5.0]), TypeError),
    (timedelta(seconds=5), TypeError),
    (numpy.True_, TypeError),
    (Decimal("sNaN"), ValueError),
    *((value, TypeError) for value in NO_NUMBERS),
]
WRONG_METADATA = [
    ([("a", "1")], TypeError),
    ("a: 1", TypeError),
    (3, TypeError),
    ({1: "1"}, TypeError),
    ({b"a": "1"}, TypeError),
    ({"a": 1}, TypeError),
    ({"a": None}, TypeError),
    ({"a": b"1"}, TypeError),
    ({"a-bin": "1"}, TypeError),
    ({"": "1"}, ValueError),
    ({"a b": "1"}, ValueError),
    ({"a:b": "1"}, ValueError),
    ({":path": "1"}, ValueError),
    ({"é": "1"}, ValueError),
    ({"\u212a": "1"}, ValueError),  # the sign of the Kelvin, which lower() makes a k
    ({"a\n": "1"}, ValueError),
    ({"a": "é"}, ValueError),
    ({"a": "1\n"}, ValueError),
    ({"a": "1\t2"}, ValueError),
    ({"a": "\x00"}, ValueError),
    ({"a": "\x7f"}, ValueError),
    ({"a": "1", "A": "2"}, ValueError),
    ({"grpc-timeout": "1S"}, ValueError),
    ({"Grpc-Anything": "1"}, ValueError),
    ({"content-type": "a/b"}, ValueError),
    ({"te": "trailers"}, ValueError),
    ({"user-agent": "me"}, ValueError),
    ({"connection": "close"}, ValueError),
    ({"x-request-id": ""}, ValueError),
    ({"x-request-id": "two words"}, ValueError),
    ({"x-request-id": "r" * 129}, ValueError),
]
WRONG_FRAMES: list[tuple[Any, type[Exception]]] = [
    ([7], TypeError),
    ({"customer_id": [7]}, TypeError),
    (pandas.Series([7], name="customer_id"), TypeError),
    (numpy.array([7]), TypeError),
    (pyarrow.array([7]), TypeError),
    (pandas.DataFrame({"customer": [7]}), ValueError),
    (pandas.DataFrame([[7, 8]], columns=["customer_id", "customer_id"]), ValueError),
    (pandas.DataFrame({"customer_id": [7.0]}), TypeError),
    (pandas.DataFrame({"customer_id": [7.0, math.nan]}), TypeError),
    (pandas.DataFrame({"customer_id": [True]}), TypeError),
    (pandas.DataFrame({"customer_id": [MOMENT]}), TypeError),
    (pandas.DataFrame({"customer_id": [7, None]}, dtype="Int64"), ValueError),
    (pandas.DataFrame({"customer_id": ["7", None]}), ValueError),
    (pandas.DataFrame({"customer_id": [7, "7"]}), TypeError),
    (pyarrow.table({"customer": [7]}), ValueError),
    (pyarrow.table({"customer_id": [7.0]}), TypeError),
    (pyarrow.table({"customer_id": [7, None]}), ValueError),
    (pyarrow.table({"customer_id": [True]}), TypeError),
    (pyarrow.table([[1], [2]], names=["customer_id", "customer_id"]), ValueError),
]
WRONG: dict[str, list[tuple[Any, type[Exception]]]] = {
    "customer": [
        (True, TypeError),
        (numpy.True_, TypeError),
        (1.0, TypeError),
        (numpy.float64(1), TypeError),
        (math.nan, TypeError),
        (Decimal(1), TypeError),
        (b"7", TypeError),
        ([7], TypeError),
        (numpy.array([7]), TypeError),
        (numpy.array(7), TypeError),
        ({"id": 7}, TypeError),
        (pandas.NA, TypeError),
        (MOMENT, TypeError),
        (2**63, ValueError),
        (-(2**63) - 1, ValueError),
        (numpy.uint64(2**63), ValueError),
        ("\ud800", ValueError),
    ],
    "features": WRONG_FEATURES,
    "overrides": WRONG_FEATURES,
    "model": WRONG_MODEL,
    "as_of": [
        (date(2026, 3, 1), ValueError),
        (datetime(2026, 3, 1), ValueError),
        (pandas.Timestamp("2026-03-01"), ValueError),
        (pandas.NaT, ValueError),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=5))), ValueError),
        (datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))), ValueError),
        ("2026-03-01T12:00:00Z", TypeError),
        (1_700_000_000, TypeError),
        (numpy.datetime64("2026-03-01"), TypeError),
    ],
    "include_features": [("yes", TypeError), (1, TypeError), (None, TypeError)],
    "max_contributions": [*WRONG_WHOLE, (None, TypeError), (-1, ValueError), (2**31, ValueError)],
    "language": WRONG_TEXT,
    "timeout_s": WRONG_SECONDS,
    "metadata": WRONG_METADATA,
    "customers": [
        ("007", TypeError),
        (b"007", TypeError),
        (7, TypeError),
        (None, TypeError),
        ({7: "a"}, TypeError),
        (uuid.UUID(int=7), TypeError),
        (pandas.DataFrame({"customer_id": [7]}), TypeError),
        ([1, "a"], TypeError),
        ([True], TypeError),
        ([1.0], TypeError),
        ([None], TypeError),
        (numpy.array([1.0]), TypeError),
        (pandas.Series([1, None]), TypeError),
    ],
    "frame": WRONG_FRAMES,
    "frames": [
        (3, TypeError),
        (None, TypeError),
        (pandas.DataFrame({"customer_id": [7]}), TypeError),
        (pyarrow.table({"customer_id": [7]}), TypeError),
        *(([frame], error) for frame, error in WRONG_FRAMES),
    ],
    "column": [
        (3, TypeError),
        (None, TypeError),
        (["customer_id"], TypeError),
        ("id", ValueError),
        ("probability", ValueError),
    ],
    "top_contributions": [*WRONG_WHOLE, (None, TypeError), (-1, ValueError), (11, ValueError)],
    "chunk_size": [*WRONG_WHOLE, (None, TypeError), (0, ValueError), (-1, ValueError), (10_001, ValueError)],
    "chunks_held": [*WRONG_WHOLE, (None, TypeError), (0, ValueError), (-1, ValueError), (2**31, ValueError)],
    "name": WRONG_TEXT,
    "alias": WRONG_TEXT,
    "version": [*WRONG_WHOLE, (None, TypeError), (CHURN_3, TypeError), (0, ValueError), (2**31, ValueError)],
    "expected_version": [*WRONG_WHOLE, (-1, ValueError), (2**31, ValueError)],
}
"""By parameter, values that have no meaning, and what they raise."""

WRONG_IN_CLIENTS: dict[str, list[tuple[Any, type[Exception]]]] = {
    "target": [(3, TypeError), ("localhost", ValueError), ("", ValueError), ("http://a:1", ValueError)],
    "credentials": [("secret", TypeError), (grpc.access_token_call_credentials("t"), TypeError)],
    "timeout_s": [*WRONG_SECONDS, (None, TypeError)],
    "metadata": WRONG_METADATA,
    "token": [
        (3, TypeError),
        (b"t", TypeError),
        ("", ValueError),
        ("t\n", ValueError),
        ("é", ValueError),
    ],
    "compression": [("zip", ValueError), (True, TypeError), (3, TypeError)],
    "retry": [(3, TypeError), ({"attempts": 3}, TypeError)],
    "options": [(3, TypeError)],
    "join": [("yes", TypeError), (1, TypeError), (None, TypeError)],
    "channel": [("127.0.0.1:1", TypeError)],
}
"""The same for the clients' own parameters."""


def parameters(of: Any) -> set[str]:
    found = set(inspect.signature(of).parameters) - {"self"}
    return found - {"how"} | BatchArguments.__annotations__.keys() if "how" in found else found


def methods() -> Iterator[tuple[str, set[str]]]:
    for name, member in vars(Client).items():
        if not name.startswith("_"):
            yield name, parameters(member)


CALLS = [
    (method, parameter, value, error)
    for method, taken in methods()
    for parameter in sorted(taken)
    for value, error in WRONG.get(parameter, [])
]


def test_the_tables_have_a_line_for_every_method_and_parameter() -> None:
    assert USUAL.keys() == {name for name, _ in methods()}
    assert WRONG.keys() == set[str]().union(*(taken for _, taken in methods()))
    assert WRONG_IN_CLIENTS.keys() == parameters(Client.__init__) == parameters(AsyncClient.__init__)


async def call(either: EitherClient, method: str, **arguments: Any) -> Any:
    if method == "batch_predict":
        return await either.rows(arguments.pop("customers"), **arguments)
    if method == "batch_predict_frames":
        return await either.frames(**arguments)
    return await either.call(method, **arguments)


async def raised(work: Awaitable[Any]) -> Exception | None:
    """Awaits, for some seconds at most, and gives what was raised."""
    try:
        await asyncio.wait_for(work, 5)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("method", sorted({method for method, *_ in CALLS}))
async def test_what_has_no_meaning_is_refused_before_anything_is_sent(
    either: EitherClient, service: Scripted, method: str
) -> None:
    other = []
    for _, parameter, value, error in (one for one in CALLS if one[0] == method):
        usual = USUAL[method] if parameter != "features" else {}
        found = await raised(call(either, method, **(usual | {parameter: value})))
        if type(found) is not error or not str(found).startswith("expected "):
            other.append((parameter, value, found))
    assert other == []
    assert (service.seen, service.streams) == ([], [])


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_a_client_refuses_what_has_no_meaning(kind: Any) -> None:
    for parameter, values in WRONG_IN_CLIENTS.items():
        for value, error in values:
            usual = {} if parameter in {"target", "channel"} else {"target": "127.0.0.1:1"}
            with pytest.raises(error, match=r"^expected ") as caught:
                kind(**(usual | {parameter: value}))
            assert type(caught.value) is error, (parameter, value)


MEANT: list[tuple[dict[str, Any], str, object]] = [
    ({"customer": numpy.int64(7)}, "customer_id", 7),
    ({"customer": numpy.uint8(7)}, "customer_id", 7),
    ({"customer": Number.SEVEN}, "customer_id", 7),
    ({"customer": "007"}, "customer_key", "007"),
    ({"customer": " 7 "}, "customer_key", " 7 "),
    ({"customer": Key.SEVEN}, "customer_key", "007"),
    ({"customer": numpy.str_("007")}, "customer_key", "007"),
    ({"customer": uuid.UUID(int=7)}, "customer_key", str(uuid.UUID(int=7))),
    ({"model": CHURN_3}, "model", "churn@3"),
    ({"model": read_model(models_pb.Model(name="churn", version=3))}, "model", "churn@3"),
    ({"include_features": numpy.True_}, "include_features", True),
]


async def test_what_has_a_meaning_is_sent(either: EitherClient, service: Scripted) -> None:
    for named, field, sent in MEANT:
        await either.call("predict", **({"customer": 42} | named))
        assert getattr(service.seen[-1], field) == sent, named


async def test_an_aware_moment_of_any_library_and_zone_is_sent(
    either: EitherClient, service: Scripted
) -> None:
    moments = [
        MOMENT,
        MOMENT.astimezone(timezone(-timedelta(hours=5))),
        pandas.Timestamp("2026-03-01T12:00Z"),
        pandas.Timestamp("2026-03-01T07:00", tz="America/Toronto"),
    ]
    for moment in moments:
        await either.call("predict", 42, as_of=moment)
        assert service.seen[-1].as_of_time.ToDatetime(tzinfo=UTC) == MOMENT, moment


NUMBERS: list[tuple[Any, float]] = [
    (41, 41.0),
    (True, 1.0),
    (numpy.True_, 1.0),
    (numpy.int32(41), 41.0),
    (numpy.float32(0.5), 0.5),
    (numpy.array(0.5), 0.5),
    (Decimal("0.5"), 0.5),
    (Fraction(1, 2), 0.5),
]


async def test_numbers_of_any_library_are_features(either: EitherClient, service: Scripted) -> None:
    for value, sent in NUMBERS:
        await either.call("predict", 42, overrides={"age": value})
        assert service.seen[-1].overrides["age"].number_value == sent, value


async def test_a_missing_value_is_none_of_any_library(either: EitherClient, service: Scripted) -> None:
    for missing in [None, pandas.NA, numpy.ma.masked, pyarrow.scalar(None, "float64")]:
        await either.call("predict", 42, overrides={"age": missing})
        assert service.seen[-1].overrides["age"].WhichOneof("kind") == "null_value", missing


async def test_a_series_of_pandas_names_features(either: EitherClient, service: Scripted) -> None:
    await either.call("predict", features=pandas.Series({"age": 41.0, "share": 0.5}))
    assert {name: value.number_value for name, value in service.seen[0].features.values.items()} == {
        "age": 41.0,
        "share": 0.5,
    }


@pytest.mark.parametrize("timeout_s", [math.inf, 1e300, 10**400, 1e9, 30, numpy.float32(30), Decimal(30)])
async def test_any_seconds_above_0_are_a_timeout_and_infinity_is_none(
    either_with: Any, timeout_s: Any
) -> None:
    assert (await either_with(timeout_s=timeout_s).call("predict", 42)).probability == 0.25
    assert len(await either_with().rows([1, 2], timeout_s=timeout_s)) == 2
    assert (await either_with().call("explain", 42, timeout_s=timeout_s)).output_value < 0


async def test_metadata_has_keys_in_any_case_and_bytes_under_bin(either_with: Any, service: Scripted) -> None:
    client = either_with(metadata={"X-Tenant": "north", "X-Old": "1"})
    await client.call(
        "predict", 42, metadata={"x-TENANT": " south ", "Trace-Bin": b"\x00\xff", "X-Empty": ""}
    )
    seen = service.metadata[0]
    assert (seen["x-tenant"].strip(), seen["x-old"], seen["trace-bin"], seen["x-empty"]) == (
        "south",
        "1",
        b"\x00\xff",
        "",
    )


@pytest.mark.parametrize(
    "customers",
    [
        range(1, 4),
        (1, 2, 3),
        {1: None, 2: None, 3: None}.keys(),
        numpy.array([1, 2, 3]),
        pandas.Series([1, 2, 3], index=["a", "b", "c"]),
        pandas.Series([1, 2, 3], dtype="Int64"),
        pandas.Index([1, 2, 3]),
    ],
)
async def test_ids_come_from_whatever_a_loop_reads(either: EitherClient, customers: Any) -> None:
    assert [row.customer for row in await either.rows(customers)] == [1, 2, 3]


async def test_ids_come_from_an_iterator_of_one_kind(either: EitherClient) -> None:
    assert [row.customer for row in await either.rows(iter([1, 2, 3]))] == [1, 2, 3]
    with pytest.raises(TypeError, match="got both"):
        await either.rows(one for one in (1, 2, "a"))


async def test_ids_of_two_kinds_are_refused_in_different_chunks_too(either: EitherClient) -> None:
    with pytest.raises(TypeError, match="got both: 1 and, as number 3 of the batch, 'a'"):
        await either.rows([1, 2, "a"], chunk_size=1)
    with pytest.raises(TypeError, match="got NoneType, as number 3 of the batch"):
        await either.rows([1, 2, None], chunk_size=1)


def test_no_message_shows_what_may_be_a_secret() -> None:
    for wrong in ({"authorization": "Bearer sécret"}, {"authorization": "Bearer secret\n"}, {"x": b"secret"}):
        with pytest.raises((TypeError, ValueError)) as caught:
            Client("127.0.0.1:1", metadata=wrong)
        assert "cret" not in str(caught.value)
    for token in ("sécret", "secret\n"):
        with pytest.raises(ValueError, match="authorization") as caught:
            Client("127.0.0.1:1", token=token)
        assert "cret" not in str(caught.value)


def test_hints_say_what_to_give() -> None:
    for method, value, says in [
        (arguments.ids, "007", "put it into a list"),
        (arguments.ids, {1: 2}, r"give its keys\(\) or values\(\)"),
        (arguments.metadata, {"a": "b\n"}, "line break"),
    ]:
        with pytest.raises((TypeError, ValueError), match=says):
            method(value)
