"""Two commands that write at once: the second says what it waits for, goes on, and can be given up."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import staunch_sql
from staunch_features.postgres.connection import connect

COMMANDS = {
    "migrate": ("schema/lock_migrations", ["migrate"]),
    "simulate": ("simulation/lock", ["simulate", "--customers", "5", "--until", "2026-11-01"]),
}


@pytest.fixture(params=COMMANDS)
async def waiting(request, start, database) -> AsyncIterator:
    """A command that waits, and the session that holds it up."""
    lock, words = COMMANDS[request.param]
    holder = await connect(database.owner_url)
    await holder.execute(staunch_sql.query(lock))
    command = start(
        *words,
        STAUNCH_DATABASE_URL=database.owner_url,
        STAUNCH_DATABASE_READER_URL=database.reader_url,
    )
    notice = f"waiting until another `staunch {request.param}` on this database is done"
    await asyncio.to_thread(command.wait_for, notice)
    yield command, holder, notice
    await holder.close()


async def test_a_command_that_waits_says_so_once_and_does_its_work_after(waiting):
    command, holder, notice = waiting
    await asyncio.sleep(1.5)
    await holder.close()
    assert await asyncio.to_thread(command.process.wait, 60) == 0
    assert command.output.count(notice) == 1
    assert "up to date" in command.output or "5 customers until 2026-11-01 written" in command.output


async def test_ctrl_c_ends_the_waiting_without_a_traceback(waiting):
    command, _, _ = waiting
    assert await asyncio.to_thread(command.press_ctrl_c) == 130
    assert "Traceback" not in command.output
