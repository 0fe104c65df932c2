"""What stands in for a supervisor at the end of a worker's channel."""

import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from staunch_server.process.channel.lines import SUPERVISOR_FD

SUPERVISOR = SUPERVISOR_FD.removeprefix("STAUNCH_")


@dataclass(frozen=True)
class Heard:
    """What a worker says.

    Attributes:
        ready: The line with which it says that it answers calls; empty if it ended before.
        lines: All of them, without their ends.
    """

    ready: Future[str] = field(default_factory=Future)
    lines: list[str] = field(default_factory=list)


def stand_in(end: socket.socket) -> Heard:
    """Answers a worker as the supervisor of a single one does, until it ends."""
    heard = Heard()

    def answer() -> None:
        with end, end.makefile() as lines:
            for line in lines:
                heard.lines.append(line.rstrip("\n"))
                kind, *words = line.split()
                if kind == "reading":
                    end.sendall(b"noted\n")
                elif kind == "moved":
                    end.sendall(f"followed {words[0]}\n".encode())
                elif not heard.ready.done():
                    heard.ready.set_result(line)
        if not heard.ready.done():
            heard.ready.set_result("")

    threading.Thread(target=answer, daemon=True).start()
    return heard
