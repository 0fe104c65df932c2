"""The batch's state alone, under every order of answers, failures and breaks that hypothesis finds."""

from itertools import islice

from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from staunch import RetryPolicy, Unavailable
from staunch._batch import Batch, StreamBroken
from staunch._errors import ErrorDetails, make_error
from staunch.v1 import prediction_service_pb2 as pb

EVENTS = st.lists(st.sampled_from(["answer", "away", "fault", "break"]), max_size=60)


def ended(code: StatusCode) -> StreamBroken:
    return StreamBroken(make_error(code, "ended", ErrorDetails()))


def test_after_a_failure_one_chunk_travels_until_it_is_answered():
    batch = Batch(model="", as_of=None, chunk_size=1, chunks_held=3, policy=RetryPolicy())
    for customer in (1, 2, 3):
        batch.take([customer])
    assert [list(request.customer_ids) for request in batch.requests()] == [[1], [2], [3]]
    batch.broken(ended(StatusCode.INTERNAL))
    (first,) = batch.requests()
    assert batch.requests() == []
    batch.accept(answer(first, 0, "answer"))
    assert [list(request.customer_ids) for request in batch.requests()] == [[2], [3]]


def answer(request: pb.BatchPredictRequest, index: int, event: str) -> pb.BatchPredictResponse:
    made = pb.BatchPredictResponse(chunk_index=index, customer_ids=request.customer_ids)
    made.model.name, made.model.version = "churn", 1
    if event == "answer":
        made.probabilities.extend(customer / 100 for customer in request.customer_ids)
        made.risk_bands.extend([pb.RISK_BAND_LOW] * len(request.customer_ids))
    else:
        made.errors.add(code=14 if event == "away" else 13, reason="R")
    return made


@given(EVENTS, st.integers(0, 40), st.integers(1, 7), st.integers(1, 4))
def test_every_id_comes_out_once_and_in_order_whatever_happens(events, count, chunk_size, chunks_held):
    batch = Batch(model="", as_of=None, chunk_size=chunk_size, chunks_held=chunks_held, policy=RetryPolicy())
    source = iter(range(1, count + 1))
    schedule = iter(events)
    travelling: list[pb.BatchPredictRequest] = []
    index, taken, out = 0, 0, []
    while True:
        while batch.wants_ids:
            chunk = list(islice(source, chunk_size))
            taken += len(chunk)
            batch.take(chunk)
        assert taken - len(out) <= chunk_size * chunks_held
        if batch.finished:
            break
        travelling += batch.requests()
        event = next(schedule, "answer")
        if event == "break":
            batch.broken(StreamBroken(Unavailable(StatusCode.UNAVAILABLE, "gone")))
            travelling, index = [], 0
            continue
        rows, _wait = batch.accept(answer(travelling.pop(0), index, event))
        index += 1
        out += rows
    assert [row.customer for row in out] == list(range(1, count + 1))
