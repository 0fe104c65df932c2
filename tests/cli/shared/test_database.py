"""Which database a command works on, and that one process at a time holds the state folder."""

import json
import os
import stat

import pytest

from staunch_cli.shared.database import (
    DatabaseUrls,
    StateFolderBusy,
    database,
    embedded_database,
    external_urls,
    state_folder_lock,
)
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
