"""What the fake fails with is what the server fails with."""

import grpc
import pytest

from staunch import Client, InvalidRequest
from staunch.testing import Failure, FakeServer
from staunch.testing._failures import REASONS
from staunch_server.errors import Reason


def test_the_reasons_are_the_servers_with_their_status_and_push_back() -> None:
    servers = {reason.name: (grpc.StatusCode[reason.code.name], reason.retry_after_s) for reason in Reason}
    assert servers == REASONS


def test_a_reason_that_the_server_does_not_have_is_refused_with_the_near_ones() -> None:
    with pytest.raises(ValueError, match="CUSTOMER_NOT_FOUND"):
        Failure("CUSTOMER_NOT_FOUNDD")
    with pytest.raises(ValueError, match=r"docs/errors\.md"):
        Failure("")


def test_any_reason_goes_with_a_code_and_asks_for_no_other_try_by_itself() -> None:
    assert Failure("RATE_LIMITED", code=grpc.StatusCode.RESOURCE_EXHAUSTED).code is not None
    assert str(Failure("OVERLOADED", "busy")) == "OVERLOADED: busy"


@pytest.mark.parametrize("customer", [0, ""])
def test_what_the_fake_refuses_itself_has_the_servers_metadata_and_fields(customer: int | str) -> None:
    with FakeServer() as fake, Client(fake.target) as client, pytest.raises(InvalidRequest) as caught:
        client.predict(customer)
    details = caught.value.details
    assert details.metadata.keys() == set(Reason.CUSTOMER_ID_INVALID.keys)
    assert [one.field for one in details.violations] == [details.metadata["field"]]
