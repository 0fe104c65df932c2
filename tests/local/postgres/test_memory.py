"""How much memory the embedded PostgreSQL is given."""

from pathlib import Path

import pytest

from staunch_local.postgres.memory import memory_bytes, shared_buffers

GB = 1 << 30


def sparse(file: Path, size: int) -> None:
    """Makes a file that is large and takes no disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as opened:
        opened.truncate(size)


def test_a_small_or_new_database_gets_256_mb(tmp_path):
    assert shared_buffers(tmp_path, 64 * GB) == "256MB"
    sparse(tmp_path / "base/5/1259", 1 << 20)
    assert shared_buffers(tmp_path, 64 * GB) == "256MB"


def test_a_large_one_is_cached_whole(tmp_path):
    sparse(tmp_path / "base/5/1259", GB)
    sparse(tmp_path / "base/16384/24576.1", GB)
    assert shared_buffers(tmp_path, 64 * GB) == "2048MB"


def test_it_takes_no_more_than_a_third_of_the_memory_and_8_gb(tmp_path):
    sparse(tmp_path / "base/5/1259", 100 * GB)
    assert shared_buffers(tmp_path, 3 * GB) == "1024MB"
    assert shared_buffers(tmp_path, 64 * GB) == "8192MB"
    assert shared_buffers(tmp_path, GB // 2) == "256MB"


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/pod/staunch\n", "sys/fs/cgroup/pod/staunch/memory.max"),
        ("0::/pod/staunch\n", "sys/fs/cgroup/pod/memory.max"),
        ("0::/\n", "sys/fs/cgroup/memory.max"),
        ("8:pids:/\n4:cpu,memory:/docker/1\n0::/\n", "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes"),
        ("4:memory:/on/the/host\n", "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path, groups, file):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    unlimited = memory_bytes(tmp_path)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("max\n")
    assert memory_bytes(tmp_path) == unlimited
    (tmp_path / file).write_text("100000000\n")
    assert memory_bytes(tmp_path) == 100_000_000


def test_without_control_groups_the_machine_counts(tmp_path):
    assert memory_bytes(tmp_path) == memory_bytes(Path("/nowhere")) > 0
