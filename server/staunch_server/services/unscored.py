"""Says why a customer has no score: unknown, or not eligible; with what a second look finds in time."""

from datetime import datetime
from typing import NoReturn

from staunch_features.views.file import ELIGIBLE
from staunch_server.errors import Reason, Refusal, Resource
from staunch_server.models.served import Served
from staunch_server.models.stored.lookup import refused
from staunch_server.models.why_not import SecondLook
from staunch_server.services.request import Live
from staunch_server.transport.seam import Call
from staunch_server.types import Row, timed


async def refuse_unscored(served: Served, asked: Live, row: Row, call: Call) -> NoReturn:
    """Raises what a row without a score means.

    Raises:
        Refusal: CUSTOMER_NOT_FOUND, CUSTOMER_NOT_ELIGIBLE; MODEL_REFUSED for a row that breaks what its view
            promises.
    """
    if not row.found:
        raise await _not_found(served, asked, row, call)
    if row.problem:
        error = served.view_error(row.problem, f"for {asked.id} {_when(served, row)}, ")
        raise refused(error, served.name, **_whom(served, asked, row)) from error
    raise await _not_eligible(served, asked, row, call)


async def _not_found(served: Served, asked: Live, row: Row, call: Call) -> Refusal:
    """Says to whoever named a moment whether it came before the customer."""
    metadata, hint = {}, "; look the id up"
    if asked.as_of is not None and (now := await _look_again(served, asked, None, call)):
        metadata["known_now"] = str(now.is_known).lower()
        hint = ", who is not known now either; look the id up"
        if now.is_known:
            hint = ", who is known now: that as_of_time is too early; give a later one, or none for now"
    message = f"Expected a customer that the view knows {_when(served, row)}, got {asked.id}{hint}."
    return _refusal(Reason.CUSTOMER_NOT_FOUND, served, asked, row, message, metadata)


async def _not_eligible(served: Served, asked: Live, row: Row, call: Call) -> Refusal:
    """Says what the customer should have, and why they have it not where the view can tell."""
    eligible = served.view.text.eligible or ELIGIBLE
    because, so = "", "that was so"
    if eligible == ELIGIBLE:
        because, so = f", for whom _eligible of the view {served.manifest.view} is not true", "it is"
    then = await _look_again(served, asked, row.as_of, call) if served.view.has_why else None
    metadata = {"eligible": eligible}
    if then is not None and then.why:
        metadata["why"] = then.why
        because = f": {then.why}"
    moment = f"ask for an as_of_time at which {so}, or " if served.manifest.uses_as_of else ""
    message = (
        f"Expected a customer who {eligible} {_when(served, row)}, got {asked.id}{because}; "
        f"{moment}leave them out."
    )
    return _refusal(Reason.CUSTOMER_NOT_ELIGIBLE, served, asked, row, message, metadata)


async def _look_again(served: Served, asked: Live, as_of: datetime | None, call: Call) -> SecondLook | None:
    with timed(call.stages, "why"):
        return await served.view.look_again(asked.id, as_of, call.answer_by())


def _refusal(
    reason: Reason, served: Served, asked: Live, row: Row, message: str, metadata: dict[str, str]
) -> Refusal:
    facts = {"view": served.manifest.view} | _whom(served, asked, row) | metadata
    return Refusal(reason, message, resource=Resource("customer", facts["customer"]), metadata=facts)


def _whom(served: Served, asked: Live, row: Row) -> dict[str, str]:
    """The customer and the moment of a row, as metadata."""
    moment = {"as_of_time": row.as_of.isoformat()} if served.manifest.uses_as_of else {}
    return {"customer": str(asked.id)} | moment


def _when(served: Served, row: Row) -> str:
    return f"at {row.as_of.isoformat()}" if served.manifest.uses_as_of else "now"
