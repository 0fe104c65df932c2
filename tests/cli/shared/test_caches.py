"""Where libraries keep what they remember."""

import os
from pathlib import Path

import pytest

from staunch_cli.shared.caches import caches_in


@pytest.mark.parametrize("theirs", [None, "/home/somebody/.cache"])
def test_they_remember_in_the_state_folder_for_the_block_whatever_the_user_says(
    tmp_path, monkeypatch, theirs
):
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if theirs:
        monkeypatch.setenv("XDG_CACHE_HOME", theirs)
    monkeypatch.chdir(tmp_path)
    with caches_in(Path("state")):
        assert os.environ["MPLCONFIGDIR"] == f"{tmp_path}/state/caches/matplotlib"
        assert os.environ["XDG_CACHE_HOME"] == f"{tmp_path}/state/caches"
    assert (os.environ.get("XDG_CACHE_HOME"), os.environ.get("MPLCONFIGDIR")) == (theirs, None)


def test_the_tests_leave_their_caches_in_the_tree():
    tree = Path(__file__).parents[3]
    assert os.environ["MPLCONFIGDIR"] == f"{tree}/.staunch/caches/matplotlib"
    assert os.environ["XDG_CACHE_HOME"] == f"{tree}/.staunch/caches"
