"""Which calls share a stream, and when none is tried; on a clock that is set."""

from grpc import StatusCode
from tests.harness.clock import Clock

from staunch import ServerFault, Unavailable
from staunch._errors import ErrorDetails
from staunch._joining.rows import Row, Rows
from staunch._joining.streams import LONGEST_S, MOST_STREAMS, NOT_KNOWN_S, REFUSED_S, Streams, parted
from staunch._settings import Sent
from staunch.v1 import prediction_service_pb2 as pb


class Stream:
    """A stream that does nothing."""

    def __init__(self, until: float) -> None:
        self.rows = Rows()
        self.until = until
        self.has_answered = False
        self.is_retired = False

    def retire(self) -> None:
        self.is_retired = True


class Chosen:
    """Streams, and those that were opened."""

    def __init__(self) -> None:
        self.clock = Clock(100.0)
        self.opened: list[Stream] = []
        self.streams: Streams[Stream] = Streams(self._open, self.clock)

    def _open(self, _sent: Sent) -> Stream:
        self.opened.append(Stream(self.clock() + LONGEST_S))
        return self.opened[-1]

    def of(self, token: str) -> Stream | None:
        return self.streams.choose((("authorization", token),))


def test_calls_of_the_same_metadata_share_a_stream_from_the_first_on() -> None:
    chosen = Chosen()
    assert chosen.of("a") is chosen.of("a") is chosen.opened[0]
    assert len(chosen.opened) == 1


def test_other_metadata_get_a_stream_with_their_second_call() -> None:
    chosen = Chosen()
    chosen.of("a")
    assert chosen.of("b") is None
    assert chosen.of("b") is chosen.opened[1]
    assert all(chosen.of(f"once-{number}") is None for number in range(1000))
    assert len(chosen.opened) == 2


def test_more_streams_than_may_be_open_push_out_an_idle_one_or_none() -> None:
    chosen = Chosen()
    for number in range(MOST_STREAMS):
        chosen.of(str(number))
        stream = chosen.of(str(number))
        assert stream is not None
        if number != 3:
            stream.rows.add(Row(pb.PredictRequest(), "", None, lambda _: None))
    chosen.of("next")
    assert chosen.of("next") is chosen.opened[-1]
    assert [number for number, one in enumerate(chosen.opened) if one.is_retired] == [3]
    chosen.opened[-1].rows.add(Row(pb.PredictRequest(), "", None, lambda _: None))
    chosen.of("none left")
    assert chosen.of("none left") is None


def test_an_old_stream_makes_place_for_a_new_one() -> None:
    chosen = Chosen()
    first = chosen.of("a")
    chosen.clock.now_s += LONGEST_S
    assert chosen.of("a") is chosen.opened[1]
    assert first is not None
    assert first.is_retired


def test_a_server_that_knows_no_such_streams_is_left_alone_with_them() -> None:
    chosen = Chosen()
    chosen.of("a")
    unknown = ServerFault(StatusCode.UNIMPLEMENTED, "Method not found!")
    assert chosen.streams.ended(chosen.opened[0], unknown) is None
    chosen.clock.now_s += NOT_KNOWN_S - 0.1
    assert chosen.of("a") is None
    chosen.clock.now_s += 0.1
    assert chosen.of("a") is chosen.opened[1]


def test_a_stream_that_ends_before_it_has_answered_is_not_tried_again_at_once() -> None:
    chosen = Chosen()
    chosen.of("a")
    refused = Unavailable(StatusCode.UNAVAILABLE, "as told", ErrorDetails(reason="OVERLOADED"))
    assert chosen.streams.ended(chosen.opened[0], refused) is None
    assert chosen.of("a") is None
    chosen.clock.now_s += REFUSED_S
    assert chosen.of("a") is chosen.opened[1]


def test_rows_of_a_stream_that_a_server_ended_go_by_themselves_and_those_of_a_broken_one_have_failed() -> (
    None
):
    broken = Unavailable(StatusCode.UNAVAILABLE, "Socket closed")
    draining = Unavailable(StatusCode.UNAVAILABLE, "as told", ErrorDetails(reason="DRAINING"))
    cancelled = Unavailable(StatusCode.CANCELLED, "RST_STREAM")
    for error, met in ((broken, broken), (cancelled, cancelled), (draining, None), (None, None)):
        chosen = Chosen()
        chosen.of("a")
        chosen.opened[0].has_answered = True
        assert chosen.streams.ended(chosen.opened[0], error) is met
        assert chosen.of("a") is chosen.opened[1]


def test_closing_gives_all_that_is_open() -> None:
    chosen = Chosen()
    chosen.of("a")
    assert chosen.streams.close() == chosen.opened
    assert chosen.streams.close() == []


def test_the_id_of_a_request_travels_with_its_row_and_a_trace_by_itself() -> None:
    assert parted((("x-tenant", "north"), ("x-request-id", "r1"))) == ((("x-tenant", "north"),), "r1")
    assert parted(()) == ((), "")
    assert parted((("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)) is None
