"""Files that cannot be read or written: one line that says why and what to do."""

import errno
from pathlib import Path

import pytest

from staunch_cli.shared.errors import cannot_read, cannot_write


@pytest.mark.parametrize(
    ("folder", "hint"),
    [("/nowhere", "make the folder /nowhere, or choose another place"), ("/tmp", "choose another place")],
)
def test_a_file_that_cannot_be_written_says_what_to_do(folder, hint):
    message = str(cannot_write(Path(folder) / "a.csv", OSError(errno.ENOENT, "other words")))
    assert message == (
        f'expected {folder}/a.csv to be a file that can be written, got "No such file or directory": {hint}'
    )


def test_a_file_that_cannot_be_read_says_what_to_do():
    message = str(cannot_read("a.txt", OSError(errno.EACCES, "other words")))
    assert message == 'expected a.txt to be a file that can be read, got "Permission denied": name another'


def test_an_error_without_a_number_is_named_by_its_own_words():
    assert "got no room left" in str(cannot_read("a.txt", OSError("no room left")))
