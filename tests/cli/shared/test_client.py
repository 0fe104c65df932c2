"""The client of a command: plain words where no server answers, and whom the words of a user mean."""

import asyncio
import time

import pytest

from staunch import InvalidRequest, Unavailable
from staunch_cli.shared.call_arguments import CustomerArguments, ServerArguments, customer_id
from staunch_cli.shared.client import ask, connected_client, in_plain_words
from staunch_cli.shared.errors import CommandError
from staunch_server.errors import Reason, Refusal

OTHER_KIND = Refusal(Reason.ID_TYPE_MISMATCH, "as told")


@pytest.fixture
def arguments(server) -> ServerArguments:
    return ServerArguments(server.target, 5.0)


@pytest.fixture
def ask_about(arguments):
    """Asks the scripted server about a customer as typed; gives whom it asked about at last."""

    def about(typed: str, *, key: bool = False) -> int | str:
        customer = CustomerArguments("", None, customer_id(typed), key, [], json=False)
        with connected_client(arguments) as client:
            return ask(client, customer, client.predict)[0]

    return about


@pytest.mark.parametrize("typed", ["42", "007", " 7", "+7", "-0"])
def test_what_reads_as_a_number_is_the_key_as_typed_where_the_ids_are_keys(ask_about, service, typed):
    service.script.append(OTHER_KIND)
    assert ask_about(typed) == typed
    assert [sent.WhichOneof("subject") for sent in service.seen] == ["customer_id", "customer_key"]
    assert service.seen[1].customer_key == typed


@pytest.mark.parametrize("typed", ["7", "007", " 7 ", "+7"])
def test_where_the_ids_are_numbers_what_reads_as_one_is_one(ask_about, service, typed):
    assert ask_about(typed) == 7
    assert [sent.customer_id for sent in service.seen] == [7]


@pytest.mark.parametrize(
    ("typed", "key", "hint"),
    [("7590-X", False, ""), ("9" * 20, False, ""), ("007", True, ": leave out --key")],
)
def test_a_key_where_the_ids_are_numbers_is_said_in_plain_words(ask_about, service, typed, key, hint):
    service.script.append(OTHER_KIND)
    words = f"since the ids of this model are numbers, got the key '{typed}'{hint}"
    with pytest.raises(CommandError, match=f"expected a whole number from 1 to 2\\^63 - 1, {words}$"):
        ask_about(typed, key=key)
    assert len(service.seen) == 1


@pytest.mark.parametrize("typed", ["42", "7590-X"])
def test_other_refusals_stay_as_the_server_gave_them(ask_about, service, typed):
    service.script.append(Refusal(Reason.FIELD_INVALID, "as told"))
    with pytest.raises(InvalidRequest, match="FIELD_INVALID"):
        ask_about(typed)
    assert len(service.seen) == 1


def test_where_nothing_answers_a_command_says_how_to_start_a_server():
    words = r"nothing answers at 127\.0\.0\.1:1: start it with `staunch run`, or name another with --server"
    with (
        pytest.raises(CommandError, match=words),
        connected_client(ServerArguments("127.0.0.1:1", 1)) as client,
    ):
        client.list_models()


def test_a_command_says_so_soon_however_long_it_would_wait_for_an_answer():
    began = time.monotonic()
    with (
        pytest.raises(CommandError, match="nothing answers at"),
        connected_client(ServerArguments("127.0.0.1:1", 3600)) as client,
    ):
        client.list_models()
    assert time.monotonic() - began < 30


def test_a_server_that_answers_that_it_cannot_is_heard(arguments, service):
    service.script.extend([Refusal(Reason.DATABASE_UNAVAILABLE, "as told")] * 9)
    with pytest.raises(Unavailable) as caught, connected_client(arguments) as client:
        client.predict(42)
    assert in_plain_words(caught.value, arguments) is caught.value


@pytest.mark.parametrize("wrong", ["http://here:1", "here:1,there:1", " "])
def test_a_server_that_is_no_address_is_refused_in_words(wrong):
    with (
        pytest.raises(CommandError, match=r"--server \(or STAUNCH_SERVER\): expected "),
        connected_client(ServerArguments(wrong, 1)),
    ):
        pass


def test_a_command_whose_time_is_over_says_which_flag_gives_it_more(arguments, service):
    service.script.append(lambda *_: asyncio.sleep(60))
    words = rf"no answer of {arguments.server} within 0\.1 s: give it more with --timeout$"
    with (
        pytest.raises(CommandError, match=words),
        connected_client(ServerArguments(arguments.server, 0.1)) as client,
    ):
        client.predict(42)
