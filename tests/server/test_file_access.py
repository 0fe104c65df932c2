"""What is said of files that cannot be used: whose they are, and what to do."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from staunch_server.file_access import found, whose, why_unreadable

DENIED = PermissionError(errno.EACCES, "denied")


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOENT, "none"),
        (errno.ENOTDIR, "a file"),
        (errno.EISDIR, "a folder"),
        (errno.EIO, '"Input/output error"'),
    ],
)
def test_what_stands_there_is_one_word(number: int, word: str) -> None:
    assert found(OSError(number, "x")) == word


def test_only_what_is_seen_to_be_closed_is_somebodys(tmp_path: Path) -> None:
    assert whose(tmp_path, FileNotFoundError(errno.ENOENT, "none")) == ""
    assert whose(tmp_path, DENIED) == ""
    assert whose(tmp_path / "new" / "deeper", DENIED) == ""


def said_without_rights(path: Path) -> str:
    code = (
        "import errno, pathlib\nfrom staunch_server.file_access import whose\n"
        f"print(whose(pathlib.Path({str(path)!r}), PermissionError(errno.EACCES, '')))"
    )
    # A root that has lost its capabilities is refused as anybody else is.
    words = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*words, sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_what_is_ones_own_and_closed_wants_another_mode(tmp_path: Path) -> None:
    (tmp_path / "mine").touch(0o000)
    said = said_without_rights(tmp_path / "mine")
    assert (
        said
        == f": {tmp_path}/mine is yours, and its mode does not let you; change it (chmod), or name another\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_on_the_way_that_is_closed_is_named_with_its_owner_and_us(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "deep").mkdir(parents=True)
    os.chown(closed, 65534, 65534)
    closed.chmod(0o700)
    assert (
        said_without_rights(closed / "deep" / "x")
        == f": {closed} belongs to nobody, and this runs as root; run it as nobody, or name another\n"
    )


def test_a_file_of_text_is_readable(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("é")
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "link").symlink_to(tmp_path / "none")
    names = ("text", "bytes", "link", "none")
    assert [why_unreadable(tmp_path / name) for name in names] == [
        "",
        "what is no text",
        "a link to none",
        "none",
    ]
    assert why_unreadable(tmp_path) == "a folder"
