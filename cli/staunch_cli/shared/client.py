"""The client of the commands that call a server, and plain words where there is no server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from staunch_cli.shared.call_arguments import ServerArguments
from staunch_cli.shared.errors import CommandError

if TYPE_CHECKING:
    from staunch import AsyncClient, Client, StaunchError

AnyClient = TypeVar("AnyClient", bound="Client | AsyncClient")


@contextmanager
def connected_client(arguments: ServerArguments, customer: int | str | None = None) -> Iterator["Client"]:
    """Gives a client of the chosen server.

    Args:
        arguments: Which server, and how long to wait for it.
        customer: Whom the calls are about, if it is one customer.

    Raises:
        CommandError: Nothing answers there, no server is named so, or a key of digits alone was taken for a
            number.
    """
    from staunch import Client, InvalidRequest, Unavailable

    with new_client(Client, arguments) as client:
        try:
            yield client
        except Unavailable as error:
            raise in_plain_words(error, arguments.server) from error
        except InvalidRequest as error:
            if error.reason != "ID_TYPE_MISMATCH" or not isinstance(customer, int):
                raise
            message = f"{customer} was taken for a number, and the ids of this model are keys: add --key"
            raise CommandError(message) from error


def new_client(kind: type[AnyClient], arguments: ServerArguments) -> AnyClient:
    """Returns a new client, of either kind, of the chosen server.

    Raises:
        CommandError: No server is named so.
    """
    try:
        return kind(arguments.server, timeout_s=arguments.timeout_s)
    except ValueError as error:
        raise CommandError(f"--server (or STAUNCH_SERVER): {error}") from error


def in_plain_words(error: "StaunchError", server: str) -> Exception:
    """Returns the error, or one in plain words if no server answered with it."""
    if error.reason:
        return error
    advice = "start it with `staunch run`, or name another with --server"
    return CommandError(f"nothing answers at {server}: {advice} ({error.message})")
