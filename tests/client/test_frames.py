"""Data frames of pandas and Arrow, in and out of a batch, over both clients."""

import math
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pandas
import pyarrow
import pytest
from tests.client.harness import answers
from tests.client.harness.either import EitherClient
from tests.client.harness.scripted import Scripted

from staunch.v1 import prediction_service_pb2 as pb

MOMENT = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
MANY = range(1, 5001)
NULL_BEHIND_A_DICTIONARY = pyarrow.DictionaryArray.from_arrays(range(5001), [*MANY, None])
COLUMNS = ["customer_id", "probability", "risk_band", "model", "as_of", "has_warnings", "error"]


def frame(ids: Any, **more: Any) -> pandas.DataFrame:
    return pandas.DataFrame({"other": range(len(ids)), "customer_id": ids, **more})


async def test_a_data_frame_comes_back_scored_with_its_index(either: EitherClient) -> None:
    given = frame([5, 7, 9]).set_index(pandas.Index(["a", "b", "a"], name="who"))
    scored = await either.call("batch_predict_frame", given)
    assert list(scored.columns) == COLUMNS
    assert scored.index.equals(given.index)
    assert scored.index.name == "who"
    assert scored["customer_id"].tolist() == [5, 7, 9]
    assert scored["probability"].iloc[0] == 0.005
    assert math.isnan(scored["probability"].iloc[1])
    assert scored["risk_band"].tolist() == ["low", pandas.NA, "low"]
    assert scored["model"].tolist() == ["churn@3", pandas.NA, "churn@3"]
    assert scored["as_of"].tolist() == [pandas.Timestamp(MOMENT), pandas.NaT, pandas.Timestamp(MOMENT)]
    assert scored["error"].tolist() == [pandas.NA, "CUSTOMER_NOT_FOUND", pandas.NA]


@pytest.mark.parametrize("count", [0, 3])
async def test_the_types_of_a_scored_data_frame_do_not_hang_on_its_rows(
    either: EitherClient, count: int
) -> None:
    scored = await either.call("batch_predict_frame", frame([7] * count).astype({"customer_id": "int32"}))
    assert [str(kind) for kind in scored.dtypes] == [
        "int32",
        "float64",
        "string",
        "string",
        "datetime64[us, UTC]",
        "boolean",
        "string",
    ]
    assert len(scored) == count


OF_A_REASON = ("", "_feature", "_value", "_label", "_contribution")
WITH_REASONS = [
    *COLUMNS,
    *(f"reason_{place}{part}" for place in (1, 2, 3) for part in OF_A_REASON),
    *("base_value", "output_value", "remainder"),
]


async def test_a_data_frame_comes_back_with_its_reasons(either: EitherClient) -> None:
    """The model of the scripted server has two of them: there is no third."""
    scored = await either.call("batch_predict_frame", frame([5, 7]), top_contributions=3)
    assert list(scored.columns) == WITH_REASONS
    first, failed = scored.iloc[0], scored.iloc[1]
    assert [first[f"reason_1{part}"] for part in OF_A_REASON] == [
        "Open tickets",
        "tickets_open",
        3.0,
        pandas.NA,
        1.2,
    ]
    assert [first[f"reason_2{part}"] for part in ("", "_feature", "_contribution")] == [
        "Income",
        "income",
        -0.4,
    ]
    assert math.isnan(first["reason_2_value"])
    total = first["base_value"] + first["remainder"] + 1.2 - 0.4
    assert total == pytest.approx(first["output_value"])
    assert scored.filter(like="reason_3").isna().all(axis=None)
    assert failed[WITH_REASONS[7:]].isna().all()
    assert failed["error"] == "CUSTOMER_NOT_FOUND"


async def test_rows_that_are_to_be_doubted_are_marked_in_frames_and_scores(
    either: EitherClient, service: Scripted
) -> None:
    def flagging(_stream: int, _index: int, request: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
        answer = answers.scored(request)
        answer.flagged_rows.extend([1])
        return answer

    service.on_chunk = flagging
    scored = await either.call("batch_predict_frame", frame([5, 6, 7]))
    assert scored["has_warnings"].tolist() == [False, True, pandas.NA]
    rows = await either.rows([5, 6, 7])
    assert [row.has_warnings for row in rows[:2]] == [False, True]


@pytest.mark.parametrize("count", [0, 2])
async def test_the_types_of_reasons_do_not_hang_on_the_rows(either: EitherClient, count: int) -> None:
    texts = {f"reason_1{part}" for part in ("", "_feature", "_label")}
    scored = await either.call("batch_predict_frame", frame([7] * count), top_contributions=1)
    kinds = {name: str(scored[name].dtype) for name in scored.columns[7:]}
    assert kinds == {name: "string" if name in texts else "float64" for name in kinds}
    table = pyarrow.table({"customer_id": pyarrow.array([7] * count, pyarrow.int64())})
    made = await either.call("batch_predict_frame", table, top_contributions=1)
    assert made.schema.names == ["customer_id", *scored.columns[1:]]
    assert {name: str(made.schema.field(name).type) for name in kinds} == {
        name: "string" if name in texts else "double" for name in kinds
    }


@pytest.mark.parametrize("column", ["reason_2", "reason_1_value", "remainder"])
async def test_a_column_of_ids_is_none_of_the_reasons(either: EitherClient, column: str) -> None:
    ids = pandas.DataFrame({column: [1]})
    with pytest.raises(ValueError, match=f"another name than a score's, got '{column}'"):
        await either.call("batch_predict_frame", ids, column, top_contributions=2)
    assert len(await either.call("batch_predict_frame", ids, column)) == 1


@pytest.mark.parametrize("kind", [pyarrow.Table, pyarrow.RecordBatch])
async def test_an_arrow_table_comes_back_scored(either: EitherClient, kind: Any) -> None:
    given = kind.from_pydict({"other": [1, 2], "customer_id": pyarrow.array([5, 7], pyarrow.uint16())})
    scored = await either.call("batch_predict_frame", given)
    assert type(scored) is kind
    assert scored.schema.names == COLUMNS
    assert scored.schema.types == [
        pyarrow.uint16(),
        pyarrow.float64(),
        pyarrow.string(),
        pyarrow.string(),
        pyarrow.timestamp("us", tz="UTC"),
        pyarrow.bool_(),
        pyarrow.string(),
    ]
    assert scored.to_pylist() == [
        {
            "customer_id": 5,
            "probability": 0.005,
            "risk_band": "low",
            "model": "churn@3",
            "as_of": MOMENT,
            "has_warnings": False,
            "error": None,
        },
        {"customer_id": 7, "error": "CUSTOMER_NOT_FOUND"} | dict.fromkeys(COLUMNS[1:6]),
    ]
    assert (await either.call("batch_predict_frame", given.slice(0, 0))).schema == scored.schema


@pytest.mark.parametrize(
    "ids",
    [
        pandas.Series(["007", "7", " 7 "]),
        pandas.Series(["007", "7", " 7 "], dtype="object"),
        pandas.Series(["007", "7", " 7 "], dtype="category"),
        pandas.Series(["007", "7", " 7 "], dtype="string[pyarrow]"),
        pyarrow.array(["007", "7", " 7 "]),
        pyarrow.array(["007", "7", " 7 "], pyarrow.large_string()),
        pyarrow.array(["007", "7", " 7 "]).dictionary_encode(),
        pyarrow.chunked_array([["007"], ["7", " 7 "]]),
    ],
)
async def test_text_keys_travel_byte_for_byte_and_keep_their_type(
    either: EitherClient, service: Scripted, ids: Any
) -> None:
    given = frame(ids) if isinstance(ids, pandas.Series) else pyarrow.table({"customer_id": ids})
    scored = await either.call("batch_predict_frame", given)
    assert list(service.streams[0][0].customer_keys) == ["007", "7", " 7 "]
    if isinstance(given, pandas.DataFrame):
        assert scored["customer_id"].dtype == given["customer_id"].dtype
    else:
        assert scored["customer_id"].type == given["customer_id"].type


@pytest.mark.parametrize(
    "ids",
    [
        pandas.Series([1, 2**62 + 1], dtype="Int64"),
        pandas.Series([1, 2**62 + 1], dtype="int64[pyarrow]"),
        pandas.Series([1, 2**62 + 1], dtype="uint64"),
        pandas.Series([1, 2**62 + 1], dtype="object"),
        pyarrow.array([1, 2**62 + 1]),
        pyarrow.array([1, 2**62 + 1], pyarrow.uint64()),
    ],
)
async def test_whole_numbers_travel_exactly(either: EitherClient, service: Scripted, ids: Any) -> None:
    given = frame(ids) if isinstance(ids, pandas.Series) else pyarrow.table({"customer_id": ids})
    await either.call("batch_predict_frame", given)
    assert list(service.streams[0][0].customer_ids) == [1, 2**62 + 1]


async def test_uuids_travel_as_their_text(either: EitherClient, service: Scripted) -> None:
    await either.call("batch_predict_frame", frame([uuid.UUID(int=7)]))
    assert list(service.streams[0][0].customer_keys) == [str(uuid.UUID(int=7))]


async def test_ids_may_be_in_another_column_or_in_the_index(either: EitherClient) -> None:
    given = pandas.DataFrame({"account": [5, 6]})
    scored = await either.call("batch_predict_frame", given, "account")
    assert scored.columns[0] == "account"
    indexed = await either.call("batch_predict_frame", given.set_index("account"), column="account")
    assert list(indexed.columns) == COLUMNS[1:]
    assert indexed.index.tolist() == [5, 6]
    assert indexed["probability"].tolist() == scored["probability"].tolist() == [0.005, 0.006]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (frame(pandas.Series([5, None], dtype="Int64")), r"none in row 1, from 0.*dropna"),
        (frame(["a", None]), "none in row 1, from 0"),
        (frame([5.0, None]), r'got float64: read them with dtype=\{"customer_id": "Int64"\}'),
        (pyarrow.table({"customer_id": [5, None]}), r"none in row 1, from 0.*filter"),
        (pyarrow.table({"customer_id": [5.0]}), "got double: cast them to int64 or text"),
        (
            pandas.DataFrame({"id": [5], "name": ["x"]}),
            "called 'customer_id', got id, name: name another with column=",
        ),
        # Beyond what a batch holds: by the time such a row is sent, thousands are scored.
        (frame(pandas.Series([*MANY, 5.0], dtype="object")), "got float, in row 5000 of 'customer_id'"),
        (frame(pandas.Series([*MANY, "007"], dtype="object")), "in 'customer_id', got both: 1 and '007'"),
        (frame(pandas.Series([*MANY, True], dtype="object")), "got bool, in row 5000 of 'customer_id'"),
        (frame(pandas.Categorical([*MANY, 5.5], [*MANY, 5.5])), "got float, in row 0 of 'customer_id'"),
        (pyarrow.table({"customer_id": NULL_BEHIND_A_DICTIONARY}), "none in row 5000, from 0.* cast the"),
        (pyarrow.table({"customer_id": pyarrow.array([b"7"])}), "got bytes, in row 0 of 'customer_id'"),
    ],
)
async def test_what_is_no_id_is_refused_by_name_before_anything_is_sent(
    either: EitherClient, service: Scripted, wrong: Any, says: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        await either.call("batch_predict_frame", wrong)
    assert service.streams == []


async def test_the_arguments_of_a_batch_go_along(either: EitherClient, service: Scripted) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    scored = await either.call(
        "batch_predict_frame", frame([1, 2, 3]), model="churn@2", as_of=moment, chunk_size=2
    )
    assert service.streams[0][0].model == "churn@2"
    assert [len(request.customer_ids) for request in service.streams[0]] == [2, 1]
    assert set(scored["as_of"]) == {pandas.Timestamp(moment)}


async def test_frames_are_scored_one_after_the_other_by_one_batch(
    either: EitherClient, service: Scripted
) -> None:
    given = [frame([]).astype({"customer_id": "int64"}), frame([1, 2, 3]), frame([4]), frame([])]
    scored = await either.frames(given, chunk_size=2)
    assert [one["customer_id"].tolist() for one in scored] == [[], [1, 2, 3], [4], []]
    assert len(service.streams) == 1
    assert await either.frames([]) == []


async def test_a_reader_of_record_batches_is_read_as_it_is_scored(either: EitherClient) -> None:
    schema, read = pyarrow.schema({"customer_id": pyarrow.int64()}), [0]

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for start in range(1, 101, 10):
            read[0] += 1
            yield pyarrow.record_batch({"customer_id": range(start, start + 10)}, schema=schema)

    reader = pyarrow.RecordBatchReader.from_batches(schema, batches())
    ahead = []

    def seen(one: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        ahead.append(read[0] - len(ahead))
        return one

    scored = await either.frames(reader, seen=seen, chunk_size=5, chunks_held=2)
    assert [one.num_rows for one in scored] == [10] * 10
    assert 1 <= max(ahead) <= 3


def test_pandas_and_arrow_are_loaded_by_nobody_but_the_caller() -> None:
    code = (
        "import sys; from staunch import Client, AsyncClient; from staunch._frames import Frames\n"
        "try: list(Frames('id').ids([[1]]))\n"
        "except TypeError as error: assert 'got builtins.list' in str(error)\n"
        "assert not {'pandas', 'pyarrow', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
