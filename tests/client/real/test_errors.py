"""What the client reads of an error by name is what the real server sends."""

import ast
import logging
from pathlib import Path

import pytest
from tests.architecture.rooms import parsed
from tests.server.small_models import EPOCH, view_text

import staunch
from staunch import Conflict, NotFound, PreconditionFailed, ServerFault

CLIENT = Path(staunch.__file__).parent


def keys_read() -> set[str]:
    """Returns the ErrorInfo metadata keys that the client's modules ask for by name."""
    found = set()
    for file in CLIENT.glob("*.py"):
        for node in ast.walk(parsed(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("details.metadata.get"):
                found.add(ast.literal_eval(node.args[0]))
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("details.metadata"):
                found.add(ast.literal_eval(node.slice))
    return found


async def test_an_unforeseen_error_has_one_incident_id_at_the_caller_and_in_the_log(
    either, running, store, caplog
):
    """A folder where the server writes its aliases: a disk's mischief that no refusal foresees."""
    (store.root / "churn" / ".aliases.json").mkdir()
    with pytest.raises(ServerFault) as caught:
        await either.call("set_alias", "churn", "next", 1)
    assert caught.value.reason == "INTERNAL"
    assert caught.value.incident_id
    assert caught.value.incident_id in caught.value.message
    assert "aliases.json" not in caught.value.message
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"incident {caught.value.incident_id}: " in record.getMessage()
    assert record.getMessage().endswith(f" request {caught.value.details.request_id}")
    assert isinstance(record.exc_info[1], IsADirectoryError)


async def test_a_moved_alias_tells_where_it_points_now(either, running, publish):
    publish(base=1.0)
    with pytest.raises(Conflict) as caught:
        await either.call("set_alias", "churn", "champion", 1, expected_version=1)
    assert caught.value.current_version == 2
    with pytest.raises(Conflict) as caught:
        await either.call("set_alias", "churn", "next", 1, expected_version=7)
    assert caught.value.current_version == 0


LEFT = "eligible = 'has an active account'\n\n[features]"
WHY = ", CASE WHEN NOT people.active THEN 'closed' END AS _why\nFROM"


async def test_who_is_not_eligible_has_a_why_and_a_moment_too_early_says_so(either, running, publish):
    text = view_text().replace("\n[features]", LEFT, 1).replace("\nFROM", WHY, 1)
    publish("left", text=text)
    for method in ("predict", "explain"):
        with pytest.raises(PreconditionFailed) as outside:
            await either.call(method, 11, model="left")
        assert (outside.value.eligible, outside.value.why) == ("has an active account", "closed")
        with pytest.raises(NotFound) as early:
            await either.call(method, 8, model="left", as_of=EPOCH)
        assert early.value.known_now is True
        with pytest.raises(NotFound) as nobody:
            await either.call(method, 999, model="left", as_of=EPOCH)
        assert nobody.value.known_now is False
        with pytest.raises(NotFound) as unasked:
            await either.call(method, 999, model="left")
        assert unasked.value.known_now is None


async def test_the_server_sends_every_key_that_the_client_reads(either, running, store, publish):
    text = view_text().replace("\n[features]", LEFT, 1).replace("\nFROM", WHY, 1)
    publish("left", text=text)
    sent: set[str] = set()
    with pytest.raises(Conflict) as moved:
        await either.call("set_alias", "churn", "next", 1, expected_version=7)
    # What a second look finds is said if it comes in time, which it need not on a busy machine.
    for _ in range(10):
        with pytest.raises(PreconditionFailed) as outside:
            await either.call("predict", 11, model="left")
        with pytest.raises(NotFound) as early:
            await either.call("predict", 8, model="left", as_of=EPOCH)
        if outside.value.details.metadata.get("why") and early.value.known_now is not None:
            break
    (store.root / "churn" / ".aliases.json").mkdir()
    with pytest.raises(ServerFault) as incident:
        await either.call("set_alias", "churn", "next", 1)
    for error in (moved.value, outside.value, early.value, incident.value):
        sent |= error.details.metadata.keys()
    assert keys_read() == {"incident_id", "current_version", "eligible", "why", "known_now"} & sent
    assert keys_read() <= sent
