"""Forks runs of pytest off a process that has loaded the libraries: most of a short run is their import.

Started by `copies.py` in a copy of the tree, with the path of a list of modules. A line of JSON in asks for a
run, a line out gives its exit code, null where its time was up. Nothing of ours is loaded before the fork.
"""

import gc
import importlib
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

_POLL_S = 0.02


def main() -> None:
    """Loads the modules, then serves until its input ends."""
    sys.path.insert(0, str(Path.cwd()))  # as `python -m pytest` does
    warnings.simplefilter("ignore")
    for name in json.loads(Path(sys.argv[1]).read_text()):
        with suppress(Exception):
            importlib.import_module(name)
    warnings.resetwarnings()
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), flush=True)


def _run(arguments: Sequence[str], printed: str, variables: Mapping[str, str], limit_s: float) -> int | None:
    child = os.fork()
    if child == 0:
        _become_pytest(arguments, printed, variables)
    give_up_at = time.monotonic() + limit_s
    while time.monotonic() < give_up_at:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become_pytest(arguments: Sequence[str], printed: str, variables: Mapping[str, str]) -> None:
    code = -1
    try:
        os.setsid()
        os.environ.update(variables)
        # A mutant's bytecode must not outlive it.
        sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in variables
        output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
            os.dup2(descriptor, target)
        code = int(pytest.main(list(arguments)))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
