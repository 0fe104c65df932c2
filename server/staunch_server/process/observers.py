"""Who listens to what happens in a serving process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from staunch_server.events import Events
from staunch_server.metrics import Metrics
from staunch_server.telemetry.call_log import CallLog


def observed_by(metrics: Metrics, log: CallLog) -> Events:
    """Returns the events of a process with all who listen to them."""
    events = Events()
    events.call_ended.subscribe(metrics.call_ended)
    events.call_ended.subscribe(log.call_ended)
    events.version_changed.subscribe(metrics.version_changed)
    events.load_ended.subscribe(metrics.load_ended)
    return events


@asynccontextmanager
async def traced(events: Events) -> AsyncIterator[None]:
    """Has each call of the block leave a trace; the last ones leave when it ends."""
    # Half a second of imports, of an extra, for those who want them.
    from staunch_server.telemetry.tracing import Tracing

    tracing = Tracing()
    events.call_ended.subscribe(tracing.call_ended)
    try:
        yield
    finally:
        await asyncio.to_thread(tracing.close)
