"""What lies where a file belongs is measured first: no pipe and no size holds up or fills the process."""

import os
import resource
from pathlib import Path

import pytest

from staunch_model_store import disk


def test_a_file_is_read_whole_up_to_what_it_may_hold(tmp_path: Path) -> None:
    file = tmp_path / "a"
    disk.write_file(file, b"12345")
    assert disk.read_file(file, 5) == b"12345"
    with pytest.raises(disk.Unfit, match=r"^a of 5 bytes where at most 4 belong$"):
        disk.read_file(file, 4)


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    disk.write_file(tmp_path / "a", b"12345")
    (tmp_path / "b").symlink_to("a")
    assert disk.read_file(tmp_path / "b", 5) == b"12345"


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    make = {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}
    make.get(kind, lambda: path.symlink_to("/dev/zero"))()
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with pytest.raises(disk.Unfit, match=r"^a, which is no regular file$"):
        disk.read_file(path, 5)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_of_any_size_takes_no_memory(tmp_path: Path) -> None:
    disk.write_file(tmp_path / "a", b"12345")
    os.truncate(tmp_path / "a", 3 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(disk.Unfit, match="of 3221225472 bytes where at most 5 belong"):
        disk.read_file(tmp_path / "a", 5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_file_without_a_size_is_read_up_to_what_it_may_hold() -> None:
    file = Path("/proc/self/status")  # its size is 0, whatever it gives
    if not file.exists():
        pytest.skip("there is no /proc here")
    assert disk.read_file(file, 1 << 20).startswith(b"Name:")
    with pytest.raises(disk.Unfit, match=r"^status of 6 bytes where at most 5 belong$"):
        disk.read_file(file, 5)


def test_a_file_is_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    disk.write_file(tmp_path / "a", b"old")
    disk.replace_file(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]


def test_what_is_wrong_is_told_without_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        disk.read_file(tmp_path / "a", 5)
    assert disk.reason(caught.value) == "a: No such file or directory"
    assert disk.reason(disk.Unfit("a, which is no regular file")) == "a, which is no regular file"
