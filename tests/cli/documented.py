"""What docs/command.md says of the JSON that commands print."""

import json
import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "command.md").read_text()

KEYS = {
    command: re.findall(r"`(\w+)`", keys)
    for commands, keys in re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE.partition("<!-- json")[2], re.MULTILINE)
    for command in re.findall(r"`([\w -]+)`", commands)
}
"""The keys of each command, in their order."""


def documented(command: str, out: str) -> dict[str, Any]:
    """Returns the object that a command printed, of exactly the keys that the page names."""
    assert out.count("\n") == 1
    document: dict[str, Any] = json.loads(out)
    assert list(document) == KEYS[command]
    return document
