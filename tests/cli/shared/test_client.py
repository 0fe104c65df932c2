"""The client of a command: plain words where no server answers, or where a key was taken for a number."""

import pytest

from staunch import InvalidRequest, Unavailable
from staunch_cli.shared.call_arguments import ServerArguments
from staunch_cli.shared.client import connected_client, in_plain_words
from staunch_cli.shared.errors import CommandError
from staunch_server.errors import Reason, Refusal


@pytest.fixture
def arguments(server) -> ServerArguments:
    return ServerArguments(server.target, 5.0)


def test_a_number_that_the_model_takes_for_no_id_is_said_to_be_a_key_perhaps(arguments, service):
    service.script.append(Refusal(Reason.ID_TYPE_MISMATCH, "as told"))
    words = "42 was taken for a number, and the ids of this model are keys: add --key"
    with pytest.raises(CommandError, match=words), connected_client(arguments, 42) as client:
        client.predict(42)


@pytest.mark.parametrize(
    ("customer", "reason"), [("42", "ID_TYPE_MISMATCH"), (None, "ID_TYPE_MISMATCH"), (42, "FIELD_INVALID")]
)
def test_other_refusals_stay_as_the_server_gave_them(arguments, service, customer, reason):
    service.script.append(Refusal(Reason[reason], "as told"))
    with pytest.raises(InvalidRequest, match=reason), connected_client(arguments, customer) as client:
        client.predict(42)


def test_where_nothing_answers_a_command_says_how_to_start_a_server():
    words = r"nothing answers at 127\.0\.0\.1:1: start it with `staunch run`, or name another with --server"
    with (
        pytest.raises(CommandError, match=words),
        connected_client(ServerArguments("127.0.0.1:1", 1)) as client,
    ):
        client.list_models()


def test_a_server_that_answers_that_it_cannot_is_heard(arguments, service):
    service.script.extend([Refusal(Reason.DATABASE_UNAVAILABLE, "as told")] * 9)
    with pytest.raises(Unavailable) as caught, connected_client(arguments) as client:
        client.predict(42)
    assert in_plain_words(caught.value, "there:1") is caught.value


@pytest.mark.parametrize("wrong", ["http://here:1", "here:1,there:1", " "])
def test_a_server_that_is_no_address_is_refused_in_words(wrong):
    with (
        pytest.raises(CommandError, match=r"--server \(or STAUNCH_SERVER\): expected "),
        connected_client(ServerArguments(wrong, 1)),
    ):
        pass
