"""A file takes its place once it is complete; where none can be is found out before the work."""

from pathlib import Path

import pytest

from staunch_cli.printing.pending_file import PendingPicture
from staunch_cli.shared.errors import CommandError


def test_a_picture_takes_its_place_and_nothing_else_stays(tmp_path):
    with PendingPicture(tmp_path / "a.svg") as picture:
        picture.draw(lambda file, ending: file.write_text(f"drawn as {ending}") and None)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.svg", "drawn as .svg")]


def test_a_picture_that_failed_leaves_the_old_one(tmp_path):
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(ZeroDivisionError), PendingPicture(tmp_path / "a.png") as picture:
        picture.draw(lambda file, ending: 1 / 0)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.png", "old")]


def test_a_picture_into_a_folder_that_is_not_there_says_which_to_make():
    with (
        pytest.raises(CommandError, match="make the folder /nowhere, or choose another place"),
        PendingPicture(Path("/nowhere/gym.png")),
    ):
        pytest.fail("the block was entered")


def test_a_folder_of_that_name_is_found_out_before_the_work(tmp_path):
    (tmp_path / "gym.png").mkdir()
    with pytest.raises(CommandError, match="Is a directory"), PendingPicture(tmp_path / "gym.png"):
        pytest.fail("the block was entered")


def test_a_full_disk_is_said_of_the_file_that_was_named(tmp_path):
    def fail(file: Path, ending: str) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(CommandError, match=r"a\.png to be a file .*No space left"),
        PendingPicture(tmp_path / "a.png") as picture,
    ):
        picture.draw(fail)
