"""How psql is called: the program, the words, and the password where nobody reads it."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from staunch_features.errors import EmbeddedPostgresError
from staunch_local.postgres.binaries import FOLDER_VARIABLE
from staunch_local.postgres.psql import find_psql, psql_call


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        ("postgresql://me:s%40cret@h:5/d", "postgresql://me@h:5/d", "s@cret"),
        ("postgres://me@h/d", "postgres://me@h/d", None),
        ("postgresql://h/d?user=me&password=s%26t", "postgresql://h/d?user=me", "s&t"),
        (
            "postgresql://m%40e:p@a:1,b:2/d?target_session_attrs=any",
            "postgresql://m%40e@a:1,b:2/d?target_session_attrs=any",
            "p",
        ),
        ("postgresql://me:p@[::1]:5/d?sslmode=require", "postgresql://me@[::1]:5/d?sslmode=require", "p"),
        ("postgresql:///d?host=/run/with%20blank", "postgresql:///d?host=%2Frun%2Fwith%20blank", None),
        ("postgresql://h?database=d", "postgresql://h?dbname=d", None),
    ],
)
def test_the_password_goes_by_the_environment(url: str, address: str, password: str | None) -> None:
    words, environment = psql_call(url, {"HOME": "/h"}, read_only=False)
    assert words == ["--dbname", address]
    assert environment == {"HOME": "/h"} | ({"PGPASSWORD": password} if password else {})


def test_settings_of_the_server_become_options_of_the_connection() -> None:
    url = "postgresql://h/d?search_path=a,%20b&application_name=me&TimeZone=UTC"
    words, environment = psql_call(url, {"PGOPTIONS": "-c jit=off"}, read_only=True)
    assert urlsplit(words[1]).query == "application_name=me"
    assert environment["PGOPTIONS"] == (
        "-c jit=off -c search_path=a,\\ b -c TimeZone=UTC -c default_transaction_read_only=on"
    )


@pytest.mark.parametrize(
    "url", ["", "me:secret@h/d", "http://me:secret@h/d", "postgresql://h?sslpassword=secret"]
)
def test_what_cannot_be_read_or_hidden_is_refused_without_the_secret(url: str) -> None:
    with pytest.raises(EmbeddedPostgresError) as caught:
        psql_call(url, {}, read_only=False)
    assert "secret" not in str(caught.value)


def program(folder: Path) -> str:
    """Puts a program of the name `psql` into a folder."""
    folder.mkdir()
    file = folder / "psql"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return str(file)


def test_the_program_beside_our_server_serves_it_and_the_users_own_all_others(tmp_path, monkeypatch) -> None:
    own = program(tmp_path / "own")
    monkeypatch.setenv("PATH", str(tmp_path / "own"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert find_psql(embedded=False) == own
    assert "pginstall" in find_psql(embedded=True)
    named = program(tmp_path / "named")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "named"))
    assert find_psql(embedded=False) == find_psql(embedded=True) == named


def test_where_there_is_none_the_places_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(
        EmbeddedPostgresError, match=r"expected psql.* found none in the PATH, .*/nowhere; install it"
    ):
        find_psql(embedded=False)
