"""What we ask of the context of a call, whichever library's it is."""

from typing import Any, NoReturn, cast

import grpc
from grpc import aio

from staunch_server.deadlines import Deadline
from staunch_server.transport.seam import Call, Failure, Metadata, Trailing

_NO_DEADLINE_S = 1e9  # pygrpc-native says "none" with sys.maxsize, grpc.aio with None.
_STATUS_KEY = "grpc-status-details-bin"
_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}

Context = aio.ServicerContext[Any, Any]


def call_of(path: str, context: Context) -> Call:
    """Returns the call of a context: its method's full name, and what came beside its message."""
    remaining = context.time_remaining()
    deadline = None if remaining is None or remaining > _NO_DEADLINE_S else Deadline.after(remaining)
    metadata = cast(Metadata, context.invocation_metadata() or ())
    return Call(path, metadata, context.peer(), deadline)


async def abort(context: Context, call: Call, failure: Failure) -> NoReturn:
    """Ends a call with the status of its failure."""
    trailing = tuple(trailing_of(call.trailing, failure))
    await context.abort(_STATUS_CODES[failure.code], failure.message, trailing)
    raise AssertionError("abort raises")


def trailing_of(trailing: Trailing, failure: Failure) -> Trailing:
    """Returns what is sent after a failure: what the call sends anyway, and the rich status if any."""
    return [*trailing, (_STATUS_KEY, failure.details)] if failure.details else trailing
