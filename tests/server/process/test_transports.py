"""Which transport carries the calls: where nobody can misuse it the fast one, elsewhere the reference."""

import importlib.util
from typing import Any

import pytest

from staunch_server.process.transports import choose_transport
from staunch_server.settings import Settings, SettingsError

OPEN = {"host": "0.0.0.0", "insecure_bind": True}


@pytest.mark.parametrize(
    ("settings", "at_home", "name", "why"),
    [
        ({}, False, "aio", "since callers reach its port"),
        ({}, True, "native", "since this machine alone reaches its port"),
        (OPEN, False, "aio", "since callers reach its port"),
        (OPEN, True, "aio", "since callers reach its port"),
        ({"listen": "unix:/run/s"}, False, "native", "since this user alone reaches the Unix socket"),
        ({"listen": "unix:/run/s", **OPEN}, False, "native", "since this user alone"),
        ({"behind_proxy": True}, False, "native", "since a proxy alone reaches its port"),
        ({"behind_proxy": True, **OPEN}, False, "native", "since a proxy alone reaches its port"),
        ({"behind_proxy": True, "max_connection_age_s": 60}, False, "aio", "max_connection_age_s is set"),
        ({"transport": "aio", "behind_proxy": True}, True, "aio", "as STAUNCH_TRANSPORT asks"),
        ({"transport": "native"}, False, "native", "as STAUNCH_TRANSPORT asks"),
        ({"transport": "native", "host": "::1"}, False, "native", "as STAUNCH_TRANSPORT asks"),
        ({"transport": "native", "behind_proxy": True, **OPEN}, False, "native", "as STAUNCH_TRANSPORT"),
        ({"transport": "native", "listen": "unix:s", **OPEN}, False, "native", "as STAUNCH_TRANSPORT"),
        ({"transport": "native", "expose_to_bombs_and_resets": True, **OPEN}, False, "native", "as STAUNCH"),
    ],
)
def test_it_is_chosen_by_who_reaches_the_server(
    settings: dict[str, Any], at_home: bool, name: str, why: str
) -> None:
    chosen = choose_transport(Settings(**settings), at_home=at_home)
    assert chosen.name == name
    assert why in chosen.why


@pytest.mark.parametrize("at_home", [False, True])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "db.example"])
def test_native_on_an_open_port_is_refused_without_the_word_for_what_stays_open(
    host: str, at_home: bool
) -> None:
    settings = Settings(transport="native", host=host, insecure_bind=True)
    with pytest.raises(SettingsError, match="--expose-to-bombs-and-resets") as caught:
        choose_transport(settings, at_home=at_home)
    assert f"host is {host!r}: expected auto or aio" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_library_auto_takes_aio_and_says_so_and_native_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    chosen = choose_transport(Settings(listen="unix:/run/s"))
    assert (chosen.name, chosen.why) == ("aio", "since pygrpc-native, the faster one, is not installed")
    with pytest.raises(SettingsError, match=r"install staunch-server\[native\], or choose aio"):
        choose_transport(Settings(transport="native"))
