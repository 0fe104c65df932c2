"""The Envoy of docker/envoy/, as it is shipped but for its addresses.

`with envoy_before([port, ...], folder) as envoy:` starts it before servers on loopback; clients call
`envoy.target`. A file that is changed for a test is none that is shipped: change docker/envoy/envoy.yaml, and
whoever uses this tries the change.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.waiting import wait

from staunch_server.process.channel.child import bound_to_us

SHIPPED = Path(__file__).parents[2] / "docker/envoy/envoy.yaml"
_SERVERS = re.compile(r"^( *)- endpoint: .* port_value: \d+ .*\n( *- endpoint: .*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Envoy:
    """A running Envoy.

    Attributes:
        process: Itself.
        port: Where clients find it.
        admin_port: Where it tells about itself.
    """

    process: subprocess.Popen[bytes]
    port: int
    admin_port: int

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def ask(self, path: str) -> str:
        """Returns a page of its admin, such as `/stats?filter=upstream_rq_retry`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as page:
            return str(page.read().decode())

    def count(self, name: str) -> int:
        """Returns a number of its statistics, such as `cluster.staunch.upstream_rq_retry`; 0 if not there."""
        stats = json.loads(self.ask(f"/stats?format=json&filter=^{re.escape(name)}$"))["stats"]
        return sum(int(each["value"]) for each in stats if each.get("name") == name)

    def well(self) -> set[int]:
        """Returns the ports of the servers that it sends calls to."""
        (cluster,) = json.loads(self.ask("/clusters?format=json"))["cluster_statuses"]
        return {
            host["address"]["socket_address"]["port_value"]
            for host in cluster["host_statuses"]
            if host["health_status"] == {"eds_health_status": "HEALTHY"}
        }


@contextmanager
def envoy_before(ports: Sequence[int], folder: Path) -> Iterator[Envoy]:
    """Runs Envoy before the servers at these ports for the block, which is entered once it takes calls.

    Args:
        ports: Of the servers, which need not be there yet.
        folder: Where its file and what it says are left.
    """
    file, admin, said = folder / "envoy.yaml", folder / "envoy.admin", folder / "envoy.log"
    file.write_text(addressed(SHIPPED.read_text(), ports))
    command = [
        *bound_to_us(signal.SIGKILL), _program(), "-c", str(file), "--admin-address-path", str(admin),
        "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning",
    ]  # fmt: skip
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait(lambda: process.poll() is not None or _written(admin), 20, said.read_text)
        assert process.poll() is None, said.read_text()
        admin_port = int(admin.read_text().rpartition(":")[2])
        yield Envoy(process, wait(lambda: _listener(admin_port), 20, said.read_text), admin_port)
    finally:
        process.terminate()
        process.wait(20)


def addressed(text: str, ports: Sequence[int]) -> str:
    """Returns the text of the shipped file with free ports for Envoy itself, and these for the servers."""
    for own in (9901, 50050):
        assert text.count(f"port_value: {own} ") == 1, f"expected {own} once in {SHIPPED}"
        text = text.replace(f"port_value: {own} ", "port_value: 0 ")
    address = "{{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}"
    text, found = _SERVERS.subn(
        lambda lines: "".join(f"{lines[1]}- endpoint: {address.format(port)}\n" for port in ports), text
    )
    assert found == 1, f"expected one list of servers in {SHIPPED}"
    return text


def _program() -> str:
    """The Envoy of the development environment, which has wheels for Linux only, or one on the PATH."""
    own = Path(sys.executable).with_name("envoy")
    found = str(own) if own.exists() else shutil.which("envoy")
    assert found, "expected an envoy: on Linux `make test` installs it"
    return found


def _written(file: Path) -> bool:
    return file.exists() and file.read_text() != ""


def _listener(admin_port: int) -> int:
    """The port that Envoy listens on; 0 while it does not."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/listeners?format=json", timeout=5) as page:
        statuses: list[dict[str, Any]] = json.loads(page.read()).get("listener_statuses", [])
    return int(statuses[0]["local_address"]["socket_address"]["port_value"]) if statuses else 0
