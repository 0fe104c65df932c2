"""Which rows go into the next message, and which answer is whose; on a clock that is set."""

from typing import Any

from grpc import StatusCode
from tests.harness.clock import Clock

from staunch import DeadlineExceeded, NotFound, StaunchError, Unavailable
from staunch._joining.rows import MESSAGES_IN_FLIGHT, MOST_BYTES, MOST_ROWS, Row, Rows
from staunch.v1 import prediction_service_pb2 as pb


class Asked:
    """Rows of one stream, and what they ended with."""

    def __init__(self) -> None:
        self.clock = Clock(100.0)
        self.rows = Rows(self.clock)
        self.ended: dict[str, Any] = {}

    def ask(self, name: str, model: str = "", left_s: float | None = 5.0, key: str = "") -> Row:
        request = pb.PredictRequest(model=model, customer_key=key or name)
        deadline = None if left_s is None else self.clock() + left_s

        def settle(outcome: Any) -> None:
            assert name not in self.ended
            self.ended[name] = outcome

        row = Row(request, f"id-{name}", deadline, settle)
        self.rows.add(row)
        return row

    def sent(self) -> list[str]:
        """Names the rows of the next message; none if none is to be sent."""
        message = self.rows.message()
        return [row.request.customer_key for row in message.rows] if message else []

    def answer(self, *rows: Row) -> None:
        self.rows.answered(
            pb.StreamPredictResponse(
                results=[
                    pb.StreamPredictResult(
                        number=row.number, request_id=row.request_id, response=pb.PredictResponse()
                    )
                    for row in rows
                ]
            )
        )


def test_a_lone_call_goes_at_once_and_what_comes_meanwhile_goes_together() -> None:
    asked = Asked()
    first = asked.ask("1")
    assert asked.sent() == ["1"]
    asked.ask("2")
    assert asked.sent() == ["2"]
    assert MESSAGES_IN_FLIGHT == 2
    for name in "345":
        asked.ask(name)
        assert asked.sent() == []
    asked.answer(first)
    assert asked.sent() == ["3", "4", "5"]
    assert asked.sent() == []


def test_an_answer_out_of_turn_says_that_the_messages_before_have_arrived() -> None:
    asked = Asked()
    asked.ask("slow")
    asked.sent()
    second = asked.ask("2")
    asked.sent()
    asked.ask("3")
    asked.answer(second)
    assert asked.sent() == ["3"]
    asked.ask("4")
    assert asked.sent() == ["4"]


def test_rows_of_one_model_never_wait_for_those_of_another() -> None:
    asked = Asked()
    for name in "12":
        asked.ask(name, model="churn@7")
        asked.sent()
    asked.ask("3", model="churn@7")
    asked.ask("4")
    assert asked.sent() == ["4"]


def test_a_message_has_no_more_rows_or_bytes_than_it_may() -> None:
    asked = Asked()
    for name in range(MOST_ROWS + 3):
        asked.ask(str(name))
    assert (len(asked.sent()), len(asked.sent()), asked.sent()) == (MOST_ROWS, 3, [])
    asked = Asked()
    for name in range(3):
        asked.ask(str(name), key="k" * (MOST_BYTES - 10))
    assert (len(asked.sent()), len(asked.sent())) == (2, 1)


def test_a_row_says_who_asks_and_how_long_they_wait() -> None:
    asked = Asked()
    asked.ask("1", left_s=2.5)
    asked.ask("2", left_s=None)
    asked.ask("3", left_s=1e9)
    asked.clock.now_s += 1
    message = asked.rows.message()
    assert message is not None
    assert [row.request_id for row in message.rows] == ["id-1", "id-2", "id-3"]
    assert [row.timeout_ms for row in message.rows if row.HasField("timeout_ms")] == [1500]
    assert len({row.number for row in message.rows}) == 3


def test_each_gets_its_own_answer_once_and_an_unknown_number_is_nobodys() -> None:
    asked = Asked()
    first, second = asked.ask("1"), asked.ask("2")
    asked.sent()
    status = pb.StreamPredictStatus(code=5, message="nobody")
    asked.rows.answered(
        pb.StreamPredictResponse(
            results=[
                pb.StreamPredictResult(number=second.number, request_id="id-2", status=status),
                pb.StreamPredictResult(number=999, response=pb.PredictResponse()),
            ]
        )
    )
    asked.answer(first, first, second)
    answer, request_id = asked.ended["1"]
    assert (answer, request_id) == (pb.PredictResponse(), "id-1")
    failed = asked.ended["2"]
    assert isinstance(failed, NotFound)
    assert (failed.message, failed.details.request_id) == ("nobody", "id-2")
    assert asked.rows.is_empty


def test_a_row_whose_caller_goes_is_not_sent_or_taken_back() -> None:
    asked = Asked()
    sent = asked.ask("1")
    asked.sent()
    asked.ask("2")
    asked.sent()
    waiting = asked.ask("3")
    asked.rows.leave(waiting)
    assert asked.rows.message() is None
    asked.rows.leave(sent)
    asked.ask("4")
    message = asked.rows.message()
    assert message is not None
    assert (list(message.cancelled_numbers), len(message.rows)) == ([sent.number], 1)
    asked.rows.leave(sent)
    asked.answer(sent)
    assert asked.rows.message() is None
    assert asked.ended == {}


def test_rows_whose_time_is_over_end_and_let_others_go() -> None:
    asked = Asked()
    for name in "12":
        asked.ask(name, left_s=1.0)
        asked.sent()
    asked.ask("3", left_s=1.0)
    asked.ask("4", left_s=3.0)
    asked.ask("5", left_s=None)
    assert asked.rows.expire() == 101.0
    assert asked.ended == {}
    asked.clock.now_s += 1
    assert asked.rows.expire() == 103.0
    assert {name: type(error) for name, error in asked.ended.items()} == dict.fromkeys(
        "123", DeadlineExceeded
    )
    message = asked.rows.message()
    assert message is not None
    assert [row.request.customer_key for row in message.rows] == ["4", "5"]
    assert list(message.cancelled_numbers) == [1, 2]


def test_a_row_with_no_time_left_is_not_sent() -> None:
    asked = Asked()
    asked.ask("1", left_s=0.0005)
    assert asked.sent() == []
    asked.ask("2")
    assert asked.sent() == ["2"]


def test_the_end_of_a_stream_is_of_those_that_were_sent() -> None:
    gone: StaunchError = Unavailable(StatusCode.UNAVAILABLE, "reset")
    for error in (gone, None):
        asked = Asked()
        asked.ask("1")
        asked.sent()
        asked.ask("2")
        asked.rows.end(error)
        assert asked.ended == {"1": error, "2": None}
        assert asked.rows.is_empty
    asked = Asked()
    asked.ask("1")
    asked.rows.end(gone, sent_only=False)
    assert asked.ended == {"1": gone}
