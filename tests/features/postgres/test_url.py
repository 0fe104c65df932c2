"""What is wrong with the URL of a database, said before anybody is asked, and without its password."""

from pathlib import Path
from typing import NoReturn

import pytest

from staunch_features.errors import DatabaseUrlInvalid
from staunch_features.postgres.connection import OUR_SETTINGS
from staunch_features.postgres.url import check_url, for_driver, parameter, place

WELL = [
    "postgresql://db/crm",
    "postgres://me:hush@db:5432/crm",
    "postgresql://me:hush@a:1,b:2,c/crm?target_session_attrs=read-write",
    "postgresql://me@[::1]:5432/crm?sslmode=require&application_name=scores",
    "postgresql:///crm?host=/run/postgresql&port=5433",
    "postgresql://%2Frun%2Fpostgresql/crm",
    "postgresql://db/crm?user=me&password=hush",
    "postgresql://db/crm?options=-c%20statement_timeout%3D5s%20-c%20work_mem=8MB",
    "postgresql://me:hu%40sh@db/crm",
    "postgresql://me:hush@db/crm?connect_timeout=10&application_name=crm",
    "postgresql://me:hush@db/crm?sslmode=require&channel_binding=prefer&gssencmode=disable",
    "postgresql://me:hush@db/crm?keepalives=1&keepalives_idle=30&tcp_user_timeout=9000&client_encoding=utf8",
]


@pytest.mark.parametrize("url", WELL)
def test_what_can_be_meant_is_taken(url: str) -> None:
    check_url(url, OUR_SETTINGS)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://me:hush@db/crm", r"in place of mysql://"),
        ("me:hush@db/crm", r"expected postgresql://ROLE"),
        ("", r"expected postgresql://ROLE"),
        ("host=db user=me password=hush dbname=crm", r"expected postgresql://ROLE"),
        ("postgresql:/me:hush@db/crm", r"expected postgresql://ROLE"),
        ("Postgresql://me:hush@db/crm", r"expected postgresql://ROLE"),
        ("postgresql://me:hush@db:port/crm", r"a port from 1 to 65535, got port$"),
        ("postgresql://me:hush@db:/crm", r"a port from 1 to 65535, got none$"),
        ("postgresql://me:hush@db:65536/crm", r"a port from 1 to 65535, got 65536$"),
        ("postgresql://me:hush@a:1,b:x/crm", r"a port from 1 to 65535, got x$"),
        ("postgresql://me:hush@a,,b/crm", r"a host is empty"),
        ("postgresql://me:hush@::1/crm", r"IPv6 address in \[ \]"),
        ("postgresql://me:hush@db/crm?port=x", r"a port from 1 to 65535, got x$"),
        (" postgresql://me:hush@db/crm", r"expected postgresql://ROLE"),
        ("postgresql://me:hush@db/crm\n", r"holds a blank"),
        ("postgresql://me:hush hush@db/crm", r"holds a blank; write one within it as %20"),
        ("postgresql://me:hush@db/crm?sslmod=require", r"sslmod is no parameter .* mean sslmode\?"),
        ("postgresql://me:hush@db/crm?conect_timeout=5", r"conect_timeout is no .* connect_timeout\?"),
        (
            "postgresql://me:hush@db/crm?sslmode=require&channel_binding=require",
            r"binding=require asks for wh",
        ),
        ("postgresql://me:hush@db/crm?gssencmode=require", r"one of disable, prefer, got require$"),
        ("postgresql://me:hush@db/crm?ssl=true", r"ssl is no parameter .* write sslmode=require"),
        ("postgresql://me:hush@db/crm?pgbouncer=true", r"pgbouncer is no parameter .* leave it out"),
        ("postgresql://me:hush@db/crm?pasword=hush", r"pasword is no parameter .* mean password\?"),
        ("postgresql://me:hush@db/crm?sslmode", r"expected postgresql://ROLE"),
        ("postgresql://me:hush@db/crm?sslmode=yes", r"sslmode to be one of disable, .* got yes$"),
        ("postgresql://me:hush@db/crm?target_session_attrs=master", r"one of any, primary, .* got master$"),
        ("postgresql://me:hush@db/crm?sslrootcert=/none.crt", r"sslrootcert .* can be read, got /none.crt"),
        ("postgresql://me:hush@db/crm?sslmode=require&sslkey=/none.key", r"sslkey .* got /none.key"),
        ("postgresql://db/crm?sslmode=verify-full&sslrootcert=system", r"sslrootcert .* got system"),
        ("postgresql://me:hush@db/crm?sslmode=verify-full", r"sslmode=verify-full wants sslrootcert=FILE"),
        ("postgresql+asyncpg://me:hush@db/crm", r"in place of postgresql\+asyncpg://"),
        ("postgresql://me:hush@db/crm?passfile=/none", r"passfile .* got /none"),
        ("postgresql://db/?service=none", r"expected the service none in .*, found none"),
        ("postgresql://db/crm?options=-c%20search_path=crm", r"set search_path, which Staunch sets"),
        ("postgresql://db/crm?options=--timezone=Asia/Tokyo", r"set timezone, which Staunch sets"),
        ("postgresql://db/crm?options=-cTimeZone=Asia/Tokyo", r"set TimeZone, which Staunch sets"),
        ("postgresql://db/crm?options=-c%20default-transaction-read-only=off", r"which Staunch sets"),
        ("postgresql://db/crm?search_path=crm", r"search_path is no parameter"),
        ("postgresql://me:hush/hush@db/crm", r"within a password as"),
        ("postgresql://me:hush#hush@db/crm", r"within a password as"),
        ("postgresql://me:hush?a=hush@db/crm", r"within a password as"),
        ("postgresql://me:hush@hush@db/crm", r"within a password as"),
        ("postgresql://me:[hush@db/crm", r"within a password as"),
    ],
)
def test_what_cannot_be_meant_is_named_without_the_password(
    url: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatabaseUrlInvalid, match=says) as caught:
        check_url(url, OUR_SETTINGS)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value).rstrip("\n")


def test_a_service_is_found_where_the_driver_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "services").write_text("[crm]\nhost=db\ntarget_session_attrs=read-write\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    check_url("postgresql:///?service=crm", OUR_SETTINGS)
    assert parameter("postgresql:///?service=crm", "target_session_attrs") == "read-write"
    with pytest.raises(DatabaseUrlInvalid, match="expected the service crn in"):
        check_url("postgresql:///?service=crn", OUR_SETTINGS)


def test_a_user_without_a_home_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    check_url("postgresql://db/crm", OUR_SETTINGS)
    with pytest.raises(DatabaseUrlInvalid, match=r"found none in ~/\.postgresql/root\.crt"):
        check_url("postgresql://db/crm?sslmode=verify-full", OUR_SETTINGS)
    with pytest.raises(DatabaseUrlInvalid, match=r"expected the service crm in ~/\.pg_service\.conf"):
        check_url("postgresql:///?service=crm", OUR_SETTINGS)


def test_a_parameter_comes_from_the_url_and_else_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert parameter("postgresql://db/crm?sslmode=require", "sslmode") == "require"
    assert parameter("postgresql://db/crm", "target_session_attrs") is None
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    assert parameter("postgresql://db/crm", "target_session_attrs") == "standby"


def test_the_place_of_a_url_holds_no_password() -> None:
    assert place("postgresql://me:hush@db:5432/crm?sslmode=require") == "the database at db:5432/crm"
    assert place("host=db password=hush") == "the database"


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("postgresql://me@db/crm", "postgresql://me@db/crm"),
        ("postgresql://me@db/crm?connect_timeout=5", "postgresql://me@db/crm?"),
        (
            "postgresql://me@a,b/crm?sslmode=require&keepalives=1&options=-c%20work_mem=8MB&gssencmode=disable",
            "postgresql://me@a,b/crm?sslmode=require&options=-c%20work_mem=8MB",
        ),
    ],
)
def test_the_driver_is_not_given_what_it_would_take_for_a_setting(url: str, left: str) -> None:
    assert for_driver(url) == left
