"""What SIGUSR1 tells: where threads and tasks stand, and nothing of what they hold."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from staunch_server.telemetry.stacks import log_tasks


async def _waits_for(event: asyncio.Event, customer: str) -> None:
    await event.wait()


async def _asks(event: asyncio.Event, customer: str) -> None:
    async with asyncio.timeout(60):
        await _waits_for(event, customer)


async def test_tasks_are_told_by_the_way_to_where_they_wait_and_alike_ones_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = asyncio.Event()
    tasks = [asyncio.create_task(_asks(event, "customer-4711"), name="customer-4711") for _ in range(3)]
    await asyncio.sleep(0)
    log_tasks()
    event.set()
    await asyncio.gather(*tasks)
    told = [record.getMessage() for record in caplog.records]
    (ours,) = [line for line in told if "_waits_for" in line]
    assert ours.startswith("3 tasks at _asks (test_stacks.py:")
    assert "> _waits_for (test_stacks.py:" in ours
    assert ours.rpartition(" > ")[2].startswith("Event.wait (locks.py:")
    assert told[-1] == "4 tasks in all"
    assert "4711" not in caplog.text


_STUCK = """
    import asyncio, logging, sys, time
    from staunch_server.telemetry.stacks import dump_stacks_on_signal

    def hangs(customer):
        print("hangs", flush=True)
        time.sleep(60)

    async def main():
        dump_stacks_on_signal(asyncio.get_running_loop())
        if sys.argv[1] == "stuck":
            hangs("customer-4711")
        print("runs", flush=True)
        await asyncio.Event().wait()

    logging.basicConfig(format="%(message)s")
    dump_stacks_on_signal()
    if sys.argv[1] == "early":
        hangs("customer-4711")
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [("early", "in hangs\n"), ("stuck", "in hangs\n"), ("runs", "1 task at main (<string>:")],
)
def test_a_process_tells_threads_even_if_it_hangs_and_goes_on(how: str, told: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_STUCK), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    try:
        for _ in range(2):
            process.send_signal(signal.SIGUSR1)
            said = b""
            while told.encode() not in said:
                if not select.select([process.stderr], [], [], 1.0)[0]:
                    process.send_signal(signal.SIGUSR1)  # the last came while the one before was at work
                    continue
                read = os.read(process.stderr.fileno(), 65_536)
                assert read, said
                said += read
            assert b"Current thread 0x" in said
            assert b"4711" not in said
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
