"""What ends the start of a server before anything is opened, and what does not."""

import asyncio
import importlib.util
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.harness.databases import TestDatabase

from staunch_features.errors import DatabaseRefused, DatabaseUrlInvalid
from staunch_server.process.start import (
    allow_descriptors,
    needed_descriptors,
    refuse_unstartable,
    until_answered,
    why_away,
)
from staunch_server.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"store": "/none"}, "STAUNCH_STORE names /none: expected a folder that can be read, found none"),
        ({"store": __file__}, "STAUNCH_STORE names .*: expected a folder that can be read, found a file"),
        ({"state_folder": __file__}, "STAUNCH_STATE_FOLDER names .* found a file"),
        ({"database_url": "mysql://db/crm"}, "STAUNCH_DATABASE_URL: .*in place of mysql"),
        ({"database_reader_url": "postgresql://db:x/crm"}, "STAUNCH_DATABASE_READER_URL: .*65535, got x"),
        ({"host": "no-such-host.invalid", "insecure_bind": True}, "host is 'no-such-host.invalid': expected"),
        ({"metrics_host": "no host", "insecure_bind": True}, "metrics_host is 'no host': expected"),
        ({"host": f"{'x' * 64}.ca", "insecure_bind": True}, "host is 'x+.ca': expected"),
        ({"host": "0.0.0.0"}, "host is '0.0.0.0': expected a loopback address"),
        ({"max_calls": 100_000, "max_streams": 10_000, "workers": 256}, "file descriptors .*, got "),
    ],
)
def test_what_no_time_heals_is_refused_in_words(
    flags: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "max_calls" in flags:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        monkeypatch.setattr(resource, "getrlimit", lambda _: (min(1024, hard), min(2048, hard)))
    with pytest.raises(SettingsError, match=says):
        refuse_unstartable(load_settings(flags))


def test_traces_without_what_sends_them_end_the_start_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings({"traces": "otlp"})
    refuse_unstartable(settings)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"traces is 'otlp': .* install staunch-server\[tracing\]"):
        refuse_unstartable(settings)
    refuse_unstartable(load_settings())


def test_defaults_and_a_state_folder_that_is_yet_to_be_made_can_start(tmp_path: Path) -> None:
    refuse_unstartable(load_settings({"state_folder": tmp_path / "new"}))
    assert not (tmp_path / "new").exists()


def test_each_connection_that_may_be_there_counts() -> None:
    flags = {"max_calls": 10, "max_streams": 3, "interactive_connections": 5, "batch_connections": 2}
    needed = needed_descriptors(load_settings(flags))
    assert list(needed.values())[:3] == [10, 3, 8]  # one is beside those of calls and streams
    more = needed_descriptors(load_settings({**flags, "workers": 2}))
    assert sum(more.values()) == sum(needed.values()) + 4


LIMITED = """
import os, resource, sys
from staunch_server.process.start import allow_descriptors
from staunch_server.settings import SettingsError
for needed in sys.argv[1:]:
    if os.fork() == 0:  # a hard limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))
        try:
            allow_descriptors({"calls": int(needed)})
        except SettingsError as error:
            print(error)
        else:
            print(resource.getrlimit(resource.RLIMIT_NOFILE))
        sys.exit()
    os.wait()
"""


def test_a_soft_limit_is_raised_to_the_hard_one_and_no_further() -> None:
    says = {
        50: "(50, 100)",
        51: "(100, 100)",
        100: "(100, 100)",
        101: "expected at least 101 file descriptors (101 for calls), got 100: raise the limit",
    }
    words = [sys.executable, "-c", LIMITED, *map(str, says)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    for line, begins in zip(done.stdout.splitlines(), says.values(), strict=True):
        assert line.startswith(begins)


def test_enough_is_left_as_it_is() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_descriptors({"calls": 1})
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


async def test_a_database_answers_is_away_or_refuses(people: TestDatabase) -> None:
    url = people.reader_url
    assert await why_away(url) == ""
    assert "cannot connect to the database at 127.0.0.1:1" in await why_away(
        "postgresql://a@127.0.0.1:1/none"
    )
    assert "at no-such-host.invalid" in await why_away("postgresql://nobody@no-such-host.invalid/none")
    assert "offers no TLS" in await why_away(f"{url}?sslmode=require")
    role = url.partition("//")[2].partition(":")[0]
    for wrong, says in (
        (
            url.replace(f"{role}:", f"{role}:not"),
            "password authentication failed .*; see the role and the pass",
        ),
        (
            url.replace(f"{role}:", "nobody_here:"),
            "password authentication failed .*; see the role and the pass",
        ),
        (f"{url}_none", 'refuses us: database ".*_none" does not exist; see the name of the database'),
        (f"{url}?options=-c%20work_mem=much", "refuses us: .*work_mem.*; see the settings in its URL"),
        (f"{url}?options=-c%20no_such=1", "refuses us: .*no_such.*; see the settings in its URL"),
    ):
        with pytest.raises(DatabaseRefused, match=says):
            await why_away(wrong)
    with pytest.raises(DatabaseUrlInvalid):
        await why_away("postgresql://nobody@127.0.0.1:x/none")


async def test_a_database_that_is_away_is_asked_until_it_answers(
    people: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staunch_server.process.start.AGAIN_S", 0.01)
    lines, back = list[str](), list[str]()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(
            until_answered("postgresql://nobody@127.0.0.1:1/none", lines.append, back.append), 0.5
        )
    assert len(lines) == 1
    assert lines[0].endswith("; it is asked again until it answers")
    await asyncio.wait_for(until_answered(people.reader_url, lines.append, back.append), 10)
    assert len(lines) == 1
