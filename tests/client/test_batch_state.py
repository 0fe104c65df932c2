"""The batch's state alone, under every order of answers, failures and breaks that hypothesis finds."""

from itertools import islice

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from staunch import DeadlineExceeded, RetryPolicy, ServerFault, StaunchError, Unavailable
from staunch._batch import Batch, StreamBroken, StreamSilent
from staunch._errors import ErrorDetails, make_error
from staunch.v1 import prediction_service_pb2 as pb

POLICY = RetryPolicy(first_wait_s=1.0, longest_wait_s=64.0, patience_s=100.0)
EVENTS = st.lists(st.sampled_from(["answer", "away", "fault", "break"]), max_size=60)


def ended(code: StatusCode) -> StreamBroken:
    return StreamBroken(make_error(code, "ended", ErrorDetails()))


def made(policy: RetryPolicy, now: list[float], customers: int = 1, timeout_s: float | None = None) -> Batch:
    """A batch with a chunk for each customer, on a clock that the test sets."""
    batch = Batch(
        model="",
        as_of=None,
        chunk_size=1,
        chunks_held=customers,
        policy=policy,
        timeout_s=timeout_s,
        clock=lambda: now[0],
    )
    for customer in range(1, customers + 1):
        batch.take([customer])
    return batch


def test_patience_begins_when_waiting_does_and_anew_with_each_answered_chunk():
    now = [0.0]
    batch = made(POLICY, now, 2)
    first, _second = batch.requests()
    now[0] = 500.0
    assert batch.patience_left_s() == 100.0
    now[0] = 530.0
    assert batch.patience_left_s() == 70.0
    batch.accept(answer(first, 0, "answer"))
    now[0] = 900.0
    assert batch.patience_left_s() == 100.0
    now[0] = 1001.0
    assert batch.patience_left_s() == 0.0


def test_a_wait_that_ends_with_the_patience_is_not_begun():
    now = [0.0]
    batch = made(RetryPolicy(first_wait_s=0.0, longest_wait_s=0.0, patience_s=10.0), now)
    batch.requests()
    assert batch.patience_left_s() == 10.0
    assert batch.broken(ended(StatusCode.UNAVAILABLE)) == 0.0
    now[0] = 10.0
    with pytest.raises(Unavailable):
        batch.broken(ended(StatusCode.UNAVAILABLE))


@pytest.mark.parametrize("retry_after_s", [7.0, 30.0])
def test_a_wait_that_ends_with_the_time_of_the_batch_is_not_begun(retry_after_s: float):
    now = [100.0]
    batch = made(POLICY, now, timeout_s=9.0)
    assert batch.time_left_s() == 9.0
    batch.requests()
    now[0] = 102.0
    wait = StreamBroken(make_error(StatusCode.UNAVAILABLE, "wait", ErrorDetails(retry_after_s=retry_after_s)))
    with pytest.raises(Unavailable, match="wait"):
        batch.broken(wait)
    now[0] = 200.0
    assert batch.time_left_s() == 0.0


def test_a_server_that_gives_no_reasons_though_they_are_asked_for_is_found_out():
    batch = Batch(model="", as_of=None, chunk_size=1, chunks_held=1, policy=POLICY, top_contributions=1)
    batch.take([1])
    (request,) = batch.requests()
    with pytest.raises(ServerFault, match="is the server older than this client"):
        batch.accept(answer(request, 0, "answer"))


def reasoned(
    request: pb.BatchPredictRequest, index: int, version: int, names: str
) -> pb.BatchPredictResponse:
    """Answers a chunk with one reason a row, the first of `names`, which are said if there are any."""
    made = answer(request, index, "answer")
    made.model.version = version
    made.explanations.extend([pb.RowExplanation(features=[0], values=[1], contributions=[0.5])])
    for name in names:
        made.explanation.features.add(name=name)
    return made


def explained_batch(customers: int) -> Batch:
    batch = Batch(model="", as_of=None, chunk_size=1, chunks_held=9, policy=POLICY, top_contributions=1)
    for customer in range(1, customers + 1):
        batch.take([customer])
    return batch


def test_reasons_are_read_by_the_features_of_the_version_that_found_them():
    """A model is rolled forward between two streams; the next version has another order of features."""
    batch = explained_batch(4)
    requests = batch.requests()
    rows, _ = batch.accept(reasoned(requests[0], 0, 1, "ab"))
    more, _ = batch.accept(reasoned(requests[1], 1, 1, ""))
    batch.broken(ended(StatusCode.UNAVAILABLE))
    (again,) = batch.requests()
    with pytest.raises(StreamBroken, match="expected answers of") as moved:
        batch.accept(reasoned(again, 0, 2, "ba"))
    batch.broken(moved.value)
    (again,) = batch.requests()
    last, _ = batch.accept(reasoned(again, 0, 1, "ab"))
    (fourth,) = batch.requests()
    last += batch.accept(reasoned(fourth, 1, 1, ""))[0]
    found = [(row.customer, row.model.version, row.reasons[0].feature) for row in [*rows, *more, *last]]
    assert found == [(customer, 1, "a") for customer in (1, 2, 3, 4)]


def test_a_stream_that_does_not_say_what_its_reasons_point_to_is_not_read_by_an_earlier_one():
    batch = explained_batch(2)
    first, _second = batch.requests()
    batch.accept(reasoned(first, 0, 1, "ab"))
    batch.broken(ended(StatusCode.UNAVAILABLE))
    (again,) = batch.requests()
    with pytest.raises(ServerFault, match="no reasons of each row"):
        batch.accept(reasoned(again, 0, 1, ""))


def test_a_batch_without_a_time_of_its_own_has_any():
    assert made(POLICY, [0.0]).time_left_s() is None


def test_waits_grow_with_failures_in_a_row_and_begin_anew_after_an_answer():
    batch = made(POLICY, [0.0], 2)
    for longest in (1.0, 2.0, 4.0):
        assert longest / 2 <= batch.broken(ended(StatusCode.UNAVAILABLE)) <= longest
    (first,) = batch.requests()
    batch.accept(answer(first, 0, "answer"))
    assert 0.5 <= batch.broken(ended(StatusCode.UNAVAILABLE)) <= 1.0


def test_without_a_token_a_batch_waits_for_the_longest_time_in_place_of_giving_up():
    poor = RetryPolicy(
        first_wait_s=1.0, longest_wait_s=64.0, patience_s=1000.0, max_tokens=1, token_ratio=0.5
    )
    batch = made(poor, [0.0], 2)
    assert batch.broken(ended(StatusCode.UNAVAILABLE)) <= 1.0
    assert batch.broken(ended(StatusCode.UNAVAILABLE)) == 64.0
    batch.take([3])
    batch.take([4])  # two chunks give a token
    assert batch.broken(ended(StatusCode.UNAVAILABLE)) <= 4.0


def test_a_stream_that_found_no_server_costs_a_batch_no_token():
    poor = RetryPolicy(
        first_wait_s=1.0, longest_wait_s=64.0, patience_s=1000.0, max_tokens=1, token_ratio=0.0
    )
    batch = made(poor, [0.0])
    nobody = make_error(StatusCode.UNAVAILABLE, "connections to all backends failing; last", ErrorDetails())
    for longest in (1.0, 2.0, 4.0):
        assert batch.broken(StreamBroken(nobody)) <= longest
    assert batch.broken(ended(StatusCode.UNAVAILABLE)) <= 8.0
    assert batch.broken(ended(StatusCode.UNAVAILABLE)) == 64.0


def test_silence_after_a_failure_tells_of_the_failure():
    batch = made(POLICY, [0.0])
    with pytest.raises(DeadlineExceeded):
        batch.broken(StreamSilent())
    batch.broken(ended(StatusCode.UNAVAILABLE))
    with pytest.raises(Unavailable, match="ended"):
        batch.broken(StreamSilent())


def test_silence_after_an_answer_tells_of_no_failure_before_it():
    batch = made(POLICY, [0.0], 2)
    batch.broken(ended(StatusCode.UNAVAILABLE))
    (first,) = batch.requests()
    batch.accept(answer(first, 0, "answer"))
    with pytest.raises(DeadlineExceeded):
        batch.broken(StreamSilent())


def test_a_fault_that_the_server_itself_tells_of_is_final():
    batch = made(POLICY, [0.0])
    fault = make_error(StatusCode.INTERNAL, "as told", ErrorDetails(reason="INTERNAL"))
    with pytest.raises(ServerFault):
        batch.broken(StreamBroken(fault))


def test_an_error_of_a_row_beyond_the_chunk_breaks_the_contract():
    batch = made(POLICY, [0.0])
    (request,) = batch.requests()
    response = answer(request, 0, "answer")
    response.row_errors.add(index=1, code=5, reason="CUSTOMER_NOT_FOUND")
    with pytest.raises(ServerFault, match="does not fit its request"):
        batch.accept(response)


@pytest.mark.parametrize("sizes", [(1, 1), (10_000, 1), (1, 1000)])
def test_sizes_at_their_borders_are_taken(sizes):
    Batch(model="", as_of=None, chunk_size=sizes[0], chunks_held=sizes[1], policy=POLICY)


@pytest.mark.parametrize("sizes", [(0, 1), (10_001, 1), (1, 0)])
def test_sizes_beyond_their_borders_are_refused(sizes):
    with pytest.raises(ValueError, match="expected"):
        Batch(model="", as_of=None, chunk_size=sizes[0], chunks_held=sizes[1], policy=POLICY)


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
def test_only_what_the_way_broke_is_taken_up(code):
    resumed = {StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.INTERNAL}
    batch = made(POLICY, [0.0])
    if code in resumed:
        batch.broken(ended(code))
        return
    with pytest.raises(StaunchError) as caught:
        batch.broken(ended(code))
    assert caught.value.code is code


def test_an_answer_that_nobody_asked_for_breaks_the_contract():
    batch = made(POLICY, [0.0])
    (request,) = batch.requests()
    with pytest.raises(ServerFault, match="expected the answer to chunk 0, got 1"):
        batch.accept(answer(request, 1, "answer"))
    batch.accept(answer(request, 0, "answer"))
    with pytest.raises(ServerFault, match="expected the answer to chunk 1"):
        batch.accept(answer(request, 1, "answer"))


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
        made.chunk_error.code = {"away": 14, "cancelled": 1}.get(event, 13)
        made.chunk_error.reason = "R"
    return made


@pytest.mark.parametrize("event", ["away", "cancelled"])
def test_a_chunk_that_nobody_could_answer_at_the_time_is_sent_again(event: str):
    batch = made(POLICY, [0.0])
    (first,) = batch.requests()
    rows, wait = batch.accept(answer(first, 0, event))
    assert (rows, 0.5 <= wait <= 1.0) == ([], True)
    (second,) = batch.requests()
    rows, _wait = batch.accept(answer(second, 1, "answer"))
    assert len(rows) == 1


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
