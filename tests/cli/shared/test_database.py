"""Which database a command works on, and that one process at a time holds the state folder."""

import json
import os
import stat
from pathlib import Path

import pytest

from staunch_cli.shared.database import (
    DatabaseUrls,
    StateFolderBusy,
    database,
    embedded_database,
    external_urls,
    refuse_absent_database,
    state_folder_lock,
)
from staunch_cli.shared.errors import CommandError
from staunch_server.settings import Settings


def test_the_state_folder_is_made_and_held_by_one_until_it_is_let_go(tmp_path):
    folder = tmp_path / "a" / "state"
    with state_folder_lock(folder):
        assert (folder / "lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(StateFolderBusy, match="choose another folder with --state-folder"):
            state_folder_lock(folder).__enter__()
    with state_folder_lock(folder):
        pass


@pytest.mark.parametrize(
    ("settings", "owner", "reader"),
    [
        ({"database_url": "postgresql://o"}, "postgresql://o", "postgresql://o"),
        ({"database_reader_url": "postgresql://r"}, "postgresql://r", "postgresql://r"),
        (
            {"database_url": "postgresql://o", "database_reader_url": "postgresql://r"},
            "postgresql://o",
            "postgresql://r",
        ),
    ],
)
def test_the_named_database_is_used_for_both_roles_if_only_one_is_named(settings, owner, reader):
    assert external_urls(Settings(**settings)) == DatabaseUrls(owner, reader, embedded=False)


def test_without_a_named_database_the_embedded_one_serves():
    assert external_urls(Settings()) is None


def test_addresses_hold_passwords_and_are_not_shown():
    assert "secret" not in repr(DatabaseUrls("postgresql://a:secret@b", "postgresql://c:secret@d"))


def test_the_embedded_database_is_found_by_other_commands_while_it_runs(state_folder):
    settings = Settings(state_folder=state_folder)
    with state_folder_lock(state_folder):
        with embedded_database(settings) as (urls, postgres):
            address_file = state_folder / "database.json"
            assert stat.S_IMODE(address_file.stat().st_mode) == 0o600
            assert json.loads(address_file.read_text())["embedded"] is True
            assert postgres.running
            with database(settings) as found:
                assert found == urls
        assert not address_file.exists()
        assert not postgres.running
        with pytest.raises(StateFolderBusy, match="STAUNCH_DATABASE_URL"), database(settings):
            pass
    with database(settings) as found:  # it is there and nobody's, so it runs for this block
        assert (found.embedded, (state_folder / "lock").read_text()) == (True, f"{os.getpid()}\n")


def _make(folder: Path, what: str) -> None:
    if what == "a file":
        folder.write_text("")
    elif what == "a folder without one":
        (folder / "models").mkdir(parents=True)
        (folder / "lock").touch()  # as one that served another database leaves it
        (folder / "postgres").mkdir()


@pytest.mark.parametrize("what", ["no such folder", "a file", "a folder without one"])
def test_a_database_that_is_not_there_is_not_made_and_the_place_is_named(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    _make(tmp_path / "state", what)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CommandError) as caught, database(Settings(state_folder=Path("state"))):
        pass
    assert f"in the state folder {tmp_path}/state, got {what}: name its state folder" in str(caught.value)
    for name in (
        "--state-folder (STAUNCH_STATE_FOLDER)",
        "STAUNCH_DATABASE_READER_URL",
        "`staunch run` makes",
    ):
        assert name in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_state_folder_that_cannot_be_looked_into_is_said_to_be_so(tmp_path):
    with pytest.raises(CommandError, match=r'got "File name too long": name'):
        refuse_absent_database(Settings(state_folder=tmp_path / ("x" * 300)))


def test_a_database_that_is_about_to_be_made_is_waited_for(tmp_path):
    with (
        state_folder_lock(tmp_path / "state"),
        pytest.raises(StateFolderBusy, match="try again in a moment if it is just starting"),
        database(Settings(state_folder=tmp_path / "state")),
    ):
        pass


def test_a_named_database_is_never_said_to_be_absent(tmp_path):
    refuse_absent_database(Settings(state_folder=tmp_path / "none", database_reader_url="postgresql://r"))


@pytest.mark.parametrize(("place", "what"), [("file/state", "Not a directory"), ("folder", "Is a directory")])
def test_a_state_folder_that_cannot_be_written_is_one_line(tmp_path, place, what):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "lock").mkdir(parents=True)
    with (
        pytest.raises(CommandError, match=f'{place} to be a state folder that can be written, got "{what}"'),
        state_folder_lock(tmp_path / place),
    ):
        pass
