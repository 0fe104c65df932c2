"""The generator of load asks what the file says and counts every status; without Go it says what to get."""

import asyncio
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from staunch_server.errors import Code
from staunch_server.events import Events
from staunch_server.transport.aio import AioTransport
from staunch_server.transport.guard import Guard
from staunch_server.transport.native import NativeTransport
from staunch_server.transport.seam import Call, Failure, Service

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "generator"


def test_without_go_one_line_says_what_to_install(tmp_path: Path) -> None:
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    run = subprocess.run(
        ["sh", SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "install Go" in run.stderr


@pytest.fixture(scope="module")
def program() -> str:
    """The generator, built where Go and its modules are."""
    if shutil.which("go") is None:
        pytest.skip("no Go here")
    built = subprocess.run(["sh", SCRIPT], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip("Go cannot build it here")
    return built.stdout.strip()


@pytest.mark.walk
@pytest.mark.parametrize("kind", [AioTransport, NativeTransport])
async def test_every_message_is_asked_and_every_status_counted(
    kind: type[AioTransport], program: str, tmp_path: Path
) -> None:
    asked: set[bytes] = set()

    def answer(raw: bytes, call: Call) -> None:
        asked.add(raw)
        assert call.deadline is not None
        refused = Failure(Code.NOT_FOUND, "no", b"")
        call.reply(refused if raw == b"refused" else raw)

    bodies = tmp_path / "bodies"
    messages = [b"refused", b"", b"x" * 5000, b"one"]
    bodies.write_bytes(b"".join(struct.pack(">I", len(one)) + one for one in messages))
    guard = Guard(Events(), max_calls=64, max_streams=1, default_deadline_s=5, stream_idle_s=0)
    service = Service("bench.Empty", unary={"Empty": answer})
    transport = kind([service], guard, address="127.0.0.1:0")
    port = await transport.start()
    found = await asked_for(program, port, bodies)
    await transport.stop(0)
    assert asked == set(messages)
    assert found["calls"] == sum(found["statuses"].values()) > 100
    assert found["statuses"].keys() == {"0", "5"}
    assert found["statuses"]["5"] == pytest.approx(found["calls"] / 4, rel=0.1)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["worst_ms"]


async def asked_for(program: str, port: int, bodies: Path) -> dict[str, Any]:
    """Runs the generator for half a second: 6 callers over 2 connections."""
    flags = {"-address": f"127.0.0.1:{port}", "-path": "/bench.Empty/Empty", "-bodies": bodies}
    flags |= {"-callers": "6", "-connections": "2", "-seconds": "0.5"}
    command = [program, *(str(part) for pair in flags.items() for part in pair)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    printed, _ = await process.communicate()
    found: dict[str, Any] = json.loads(printed)
    return found
