"""A unary call comes to one end, whoever brings it first, and is let go of then."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Code, Reason, Refusal
from staunch_server.transport.seam import Call, Failure
from staunch_server.transport.visits import UnaryVisit

ANSWER = pb.PredictResponse(probability=0.5)


class Sent(list[tuple[str, str | bytes]]):
    """Metadata that can be watched: there until the call is freed."""


class Heard:
    """One visit, what was told of its end, and what its caller got."""

    def __init__(self) -> None:
        self.ends: list[tuple[Code, Refusal | None, BaseException | None]] = []
        self.replies: list[bytes | Failure] = []
        self.sent = Sent()
        self.call = Call(
            "/staunch.v1.PredictionService/Predict", self.sent, "", None, reply=self.replies.append
        )
        self.visit = UnaryVisit(b"", self.call, pb.PredictRequest, self._ended)

    def _ended(self, _: Any, code: Code, refusal: Refusal | None, error: BaseException | None) -> None:
        self.ends.append((code, refusal, error))
        assert self.replies == []  # those who watch know before the caller does

    @property
    def codes(self) -> list[Code]:
        """The codes of its ends; one, if all is well."""
        return [code for code, _, _ in self.ends]


async def test_the_first_end_of_a_call_is_the_only_one() -> None:
    heard = Heard()
    heard.visit.answer(ANSWER)
    heard.visit.answer(ANSWER)
    heard.visit.fail(TimeoutError())
    heard.call.cancel()
    assert heard.codes == [Code.OK]
    assert heard.replies == [ANSWER.SerializeToString()]


async def test_an_error_reaches_the_caller_as_its_status_and_an_unforeseen_one_as_an_incident() -> None:
    foreseen, unforeseen = Heard(), Heard()
    foreseen.visit.fail(Refusal(Reason.OVERLOADED, "Not you."))
    unforeseen.visit.fail(secret := RuntimeError("hunter2"))
    (told,), (hidden,) = foreseen.replies, unforeseen.replies
    assert isinstance(told, Failure)
    assert isinstance(hidden, Failure)
    assert (told.code, told.message) == (Code.UNAVAILABLE, "Not you.")
    assert hidden.code == Code.INTERNAL
    assert "hunter2" not in hidden.message
    assert foreseen.ends[0][2] is None
    assert unforeseen.ends[0][2] is secret


async def test_an_answer_that_is_no_message_is_an_incident() -> None:
    heard = Heard()
    heard.visit.answer("no message")  # type: ignore[arg-type]
    assert heard.codes == [Code.INTERNAL]
    assert len(heard.replies) == 1


async def test_a_caller_who_goes_while_others_answer_is_told_to_them_and_hears_nothing() -> None:
    heard, left = Heard(), []
    heard.visit.leave = lambda: left.append(True)
    heard.call.cancel()
    heard.visit.answer(ANSWER)
    assert (heard.codes, heard.replies, left) == ([Code.CANCELLED], [], [True])


@pytest.mark.parametrize("begun", [True, False])
async def test_a_caller_who_goes_cancels_the_task_that_works_for_it(*, begun: bool) -> None:
    async def work() -> pb.PredictResponse:
        await asyncio.Event().wait()
        return ANSWER

    heard = Heard()
    heard.visit.answer_later(work())
    await asyncio.sleep(0) if begun else None
    heard.call.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert heard.codes == [Code.CANCELLED]


async def test_work_that_gives_nothing_leaves_the_end_to_others() -> None:
    async def work() -> None:
        heard.visit.answer_later(later())

    async def later() -> pb.PredictResponse:
        return ANSWER

    heard = Heard()
    heard.visit.answer_later(work())
    await asyncio.sleep(0)
    assert heard.codes == []
    for _ in range(4):
        await asyncio.sleep(0)
    assert heard.codes == [Code.OK]


@pytest.mark.parametrize("how", ["answer", "cancel"])
async def test_a_call_that_ended_is_freed_without_the_collector_of_cycles(how: str) -> None:
    heard = Heard()
    heard.visit.leave = lambda visit=heard.visit: None  # type: ignore[misc]
    gone = weakref.ref(heard.sent)
    gc.disable()
    try:
        heard.visit.answer(ANSWER) if how == "answer" else heard.call.cancel()
        del heard
        assert gone() is None
    finally:
        gc.enable()
