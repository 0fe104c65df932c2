"""What is refused, as it leaves the server: code, delay, exactly one ErrorInfo, and texts cut to size."""

import base64
from datetime import timedelta

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from staunch_server.errors import (
    Code,
    Reason,
    Refusal,
    Resource,
    Violation,
)
from staunch_server.statuses import DOMAIN, MAX_VIOLATIONS, clip, status

MOST_BYTES = 8192
"""With more metadata, gRPC turns a status into RESOURCE_EXHAUSTED."""

RETRIED = {
    Reason.DATABASE_UNAVAILABLE: 0.5,
    Reason.MODEL_NOT_READY: 1.0,
    Reason.STORE_UNAVAILABLE: 1.0,
    Reason.DRAINING: 0.1,
    Reason.OVERLOADED: 0.1,
    Reason.STREAM_IDLE: 0.1,
}


def unpacked(made: status_pb2.Status) -> list[Message]:
    """Returns the details of a status, each as its own message."""
    found: list[Message] = []
    for packed in made.details:
        detail = getattr(details, packed.type_url.rpartition(".")[2])()
        assert packed.Unpack(detail)
        found.append(detail)
    return found


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_its_code_one_error_info_and_a_delay_if_another_try_may_help(reason: Reason) -> None:
    made = status(Refusal(reason, "No."))
    info, *others = unpacked(made)
    assert (made.code, made.message) == (reason.code, "No.")
    assert info == details.ErrorInfo(reason=reason.name, domain=DOMAIN)
    assert reason.retry_after_s == RETRIED.get(reason)
    assert [one.retry_delay.ToTimedelta() for one in others] == (
        [timedelta(seconds=RETRIED[reason])] if reason in RETRIED else []
    )


def test_only_what_may_pass_says_when_to_try_again() -> None:
    unavailable = {reason for reason in Reason if reason.code == Code.UNAVAILABLE}
    # A moved alias is followed without another try, which could undo what somebody else has moved since.
    assert unavailable - {Reason.ALIAS_NOT_FOLLOWED} == RETRIED.keys()
    assert len({reason.meaning for reason in Reason}) == len(Reason)


def test_all_that_a_refusal_knows_is_in_its_details() -> None:
    refusal = Refusal(
        Reason.MODEL_NOT_READY,
        "Not yet.",
        [Violation("model", "is loading")],
        Resource("model", "churn@3"),
        {"incident_id": "7"},
    )
    info, bad_request, resource, retry = unpacked(status(refusal))
    assert info.metadata == {"incident_id": "7"}
    assert [(one.field, one.description) for one in bad_request.field_violations] == [("model", "is loading")]
    assert (resource.resource_type, resource.resource_name) == ("model", "churn@3")
    assert retry.retry_delay.ToMilliseconds() == 1000
    assert str(refusal) == "MODEL_NOT_READY: Not yet."


@pytest.mark.parametrize("count", [1, MAX_VIOLATIONS, MAX_VIOLATIONS + 1, 300])
def test_twenty_fields_are_listed_and_the_others_counted(count: int) -> None:
    violations = [Violation(f"f{number}", "is wrong") for number in range(count)]
    _, bad_request = unpacked(status(Refusal(Reason.FIELD_INVALID, "No.", violations)))
    listed = bad_request.field_violations
    assert [one.field for one in listed] == [f"f{number}" for number in range(min(count, MAX_VIOLATIONS))]
    more = f" (and {count - MAX_VIOLATIONS} more fields)" if count > MAX_VIOLATIONS else ""
    assert listed[-1].description == f"is wrong{more}"


@given(st.text(max_size=60), st.integers(3, 90))
def test_a_cut_text_is_a_beginning_within_the_bytes(text: str, limit_bytes: int) -> None:
    cut = clip(text, limit_bytes)
    assert len(cut.encode()) <= limit_bytes
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))
    # A character has at most four bytes, so no more than three are given away.
    assert cut == text or len(cut.encode()) > limit_bytes - 4


@pytest.mark.parametrize(
    ("text", "cut"), [("é" * 5, "é" * 5), ("é" * 6, "é" * 3 + "…"), ("a" * 11, "a" * 7 + "…")]
)
def test_a_text_that_fits_is_not_cut_and_no_character_is_split(text: str, cut: str) -> None:
    assert clip(text, 10) == cut


def test_half_a_surrogate_that_no_utf_8_can_hold_is_replaced() -> None:
    assert clip("a\ud800", 10) == "a?"


@pytest.mark.parametrize("letter", ["a", "é", "漢", "🙂"])
def test_the_longest_texts_stay_below_what_grpc_drops(letter: str) -> None:
    long = letter * 2000
    violations = [Violation(long, long)] * 100
    refusal = Refusal(Reason.OVERLOADED, long, violations, Resource("model", long), {"incident_id": long})
    made = status(refusal)
    info, bad_request, resource, _ = unpacked(made)
    assert len(made.message.encode()) in range(597, 601)
    assert len(info.metadata["incident_id"].encode()) in range(77, 81)
    assert len(resource.resource_name.encode()) in range(77, 81)
    assert {len(one.field.encode()) for one in bad_request.field_violations} <= set(range(93, 97))
    assert {len(one.description.encode()) for one in bad_request.field_violations[:-1]} <= set(range(77, 81))
    # On the wire the message is percent-encoded, a byte as three, and the whole status base64.
    assert 3 * len(made.message.encode()) + len(base64.b64encode(made.SerializeToString())) < MOST_BYTES
