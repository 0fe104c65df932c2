"""The client of the commands that call a server, and plain words where there is no server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from staunch_cli.shared.call_arguments import CustomerArguments, ServerArguments
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.feature_names import unknown_feature

if TYPE_CHECKING:
    from staunch import AsyncClient, Client, InvalidRequest, StaunchError

AnyClient = TypeVar("AnyClient", bound="Client | AsyncClient")

_Answer = TypeVar("_Answer")

_OTHER_KIND = "ID_TYPE_MISMATCH"
"""The reason of a server whose model takes numbers where it was given a key, or keys for a number."""


_NO_SUCH_FEATURE = "FEATURE_UNKNOWN"


@contextmanager
def connected_client(arguments: ServerArguments) -> Iterator["Client"]:
    """Gives a client of the chosen server.

    Args:
        arguments: Which server, and how long to wait for it.

    Raises:
        CommandError: Nothing answers there, or not in time, or no server is named so.
    """
    from staunch import Client, DeadlineExceeded, Unavailable

    with new_client(Client, arguments) as client:
        try:
            yield client
        except (DeadlineExceeded, Unavailable) as error:
            raise in_plain_words(error, arguments) from error


def ask(
    client: "Client", arguments: CustomerArguments, call: Callable[[int | str], _Answer]
) -> tuple[int | str, _Answer]:
    """Asks about a customer as the model's ids are, numbers or keys; gives whom it asked about, and what.

    What was typed may be either. The server says if the model takes the other, and has then read nothing.

    Args:
        client: Of the server that is asked.
        arguments: The customer as typed.
        call: Asks about a customer by number or by key.

    Raises:
        CommandError: What was typed says no number, and the model's ids are numbers; or a value was set of a
            feature that the model does not have.
    """
    from staunch import InvalidRequest

    for customer in arguments.meanings:
        try:
            return customer, call(customer)
        except InvalidRequest as error:
            if error.reason == _NO_SUCH_FEATURE:
                raise _unknown_override(client, arguments, error) from error
            if error.reason != _OTHER_KIND:
                raise
            refusal = error
    typed = arguments.given
    hint = ": leave out --key" if isinstance(typed.id, int) else ""
    message = (
        f"expected a whole number from 1 to 2^63 - 1, since the ids of this model are numbers, "
        f"got the key {typed.text!r}{hint}"
    )
    raise CommandError(message) from refusal


def _unknown_override(client: "Client", arguments: CustomerArguments, refusal: "InvalidRequest") -> Exception:
    """The refusal in the words of the command, with the nearest features."""
    model = client.get_model(refusal.details.metadata.get("model") or arguments.model)
    titles = {
        feature.name: [feature.title, *(texts.title for texts in feature.translations.values())]
        for feature in model.features
    }
    for name, _ in arguments.overrides:
        if name not in titles:
            where_listed = f"staunch models {model.reference}"
            return unknown_feature(name, titles, f"a feature of {model.reference} with --set", where_listed)
    return refusal


def new_client(kind: type[AnyClient], arguments: ServerArguments) -> AnyClient:
    """Returns a new client, of either kind, of the chosen server.

    Raises:
        CommandError: No server is named so.
    """
    from staunch import RetryPolicy

    # A few tries within a second: a person shall hear soon that nothing listens there.
    retry = RetryPolicy(attempts=5)
    try:
        return kind(arguments.server, timeout_s=arguments.timeout_s, retry=retry)
    except ValueError as error:
        raise CommandError(f"--server (or STAUNCH_SERVER): {error}") from error


def in_plain_words(error: "StaunchError", arguments: ServerArguments) -> Exception:
    """Returns the error, or one in plain words if no server answered with it."""
    from staunch import DeadlineExceeded

    if isinstance(error, DeadlineExceeded):  # whoever noticed it first, the time was the command's
        within = f"within {arguments.timeout_s:g} s"
        return CommandError(f"no answer of {arguments.server} {within}: give it more with --timeout")
    if error.reason:
        return error
    advice = "start it with `staunch run`, or name another with --server"
    return CommandError(f"nothing answers at {arguments.server}: {advice} ({error.message})")
