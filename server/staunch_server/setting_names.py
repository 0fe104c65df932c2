"""Which STAUNCH_* names mean something, and what is to be thought of the others.

A name that is nearly a setting's is a mistake, and would be noticed only by what does not happen. Others may
be somebody else's. And Kubernetes gives every process variables made of the names of Services: of one called
`staunch`, STAUNCH_PORT="tcp://10.0.0.1:50051".
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

PREFIX = "STAUNCH_"
"""What the environment variables begin with: STAUNCH_PORT sets `port`."""

SUPERVISED = "STAUNCH_SUPERVISED"
"""Set to 1 in what `staunch run` and `staunch serve` start: workers, and steps."""

_BESIDE_SETTINGS = ("config", "secrets", "server", "postgres_bin")  # what a person may set and is no setting
_OURS = ("supervised", "worker", "supervisor_fd")  # what the supervisor tells a worker

_NEAR = 0.75  # of difflib's ratio: `prot` is as near to `port` as this, and `home` not to `host`

_SAME = {
    "db": "database",
    "postgres": "database",
    "pg": "database",
    "uri": "url",
    "dsn": "url",
} | dict.fromkeys(("dir", "directory", "path"), "folder")
"""Words that people write for those of ours."""

_SERVICE = re.compile(
    r"SERVICE_(HOST|PORT(_\w+)?)|\w+_SERVICE_(HOST|PORT(_\w+)?)|(\w+_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


def is_supervised(environment: Mapping[str, str]) -> bool:
    """Returns whether a process with this environment was started by `staunch run` or `staunch serve`."""
    return environment.get(SUPERVISED) == "1"


def is_of_a_service(name: str, value: str | None) -> bool:
    """Returns whether Kubernetes made a variable of a Service's name."""
    stem = name.upper().removeprefix(PREFIX)
    if _SERVICE.fullmatch(stem):
        return True
    return bool(re.fullmatch(r"(\w+_)?PORT", stem) and _SERVICE_URL.match(value or ""))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that another is nearly, if it is nearly one: by its words, or by its letters."""
    names = list(known)
    words = [_SAME.get(word, word) for word in name.lower().split("_")]
    plain = words[:-1] if words[-1] in ("folder", "file") else words
    for stem in ("_".join(words), "_".join(plain)):
        if stem in names:
            return stem
    if len(words) > 1:  # such as reader_url; one word alone is too little to tell
        for near in names:
            if f"_{'_'.join(words)}_" in f"_{near}_":
                return near
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=_NEAR)
    # Longer and of another beginning is another word: `report` is not `port`.
    return next((near for near in close if near[0] == name[:1].lower() or len(name) < len(near) + 2), None)


def misspelt(environment: Mapping[str, str], fields: Collection[str]) -> list[str]:
    """Returns a line for each variable that is nearly a setting, and none.

    Args:
        environment: The variables of a process that nobody supervises.
        fields: The names of the settings.
    """
    meant = {
        name: nearest(_stem(name), (*fields, *_BESIDE_SETTINGS)) for name in _unknown(environment, fields)
    }
    return [
        f"{name} is no setting: did you mean {PREFIX}{near.upper()}? Rename it, or unset it."
        for name, near in meant.items()
        if near
    ]


def misspelt_files(folder: Path, fields: Collection[str]) -> list[str]:
    """Returns a line for each file among the secrets that is nearly named as a setting's, and is not.

    Args:
        folder: The folder of secrets, which can be read.
        fields: The names of the settings.
    """
    meant = {
        file: file if file in fields else nearest(_bare(file), fields) for file in _strange(folder, fields)
    }
    return [
        f"{folder / file} is no setting: did you mean {PREFIX.lower()}{near}? Rename it."
        for file, near in meant.items()
        if near
    ]


def passed_over(environment: Mapping[str, str], secrets: str | None, fields: Collection[str]) -> list[str]:
    """Returns what a person should know of names that count for nothing: at most two lines.

    Args:
        environment: The variables of a process that nobody supervises.
        secrets: The folder of secrets, if there is one.
        fields: The names of the settings.
    """
    services = sorted(name for name in _all(environment) if is_of_a_service(name, environment[name]))
    unknown = sorted(_unknown(environment, fields))
    unknown += [str(Path(secrets) / file) for file in _strange(Path(secrets), fields)] if secrets else []
    lines = []
    if services:
        lines.append(
            f"passing over what Kubernetes made of the name of a Service: {', '.join(services)}; "
            "`enableServiceLinks: false` in the pod keeps them away"
        )
    if unknown:
        lines.append(f"passing over what is no setting of ours: {', '.join(unknown)}")
    return lines


def _unknown(environment: Mapping[str, str], fields: Collection[str]) -> list[str]:
    # What the supervisor sets means nothing without one; and STAUNCH_WORKER is easily meant to be WORKERS.
    known = {*fields, *_BESIDE_SETTINGS, *_OURS} - ({"worker"} if not is_supervised(environment) else set())
    return [
        name
        for name in _all(environment)
        if _stem(name) not in known and not is_of_a_service(name, environment[name])
    ]


def _strange(folder: Path, fields: Collection[str]) -> list[str]:
    """The files of a folder that look as if they meant a setting, and mean none."""
    files = sorted(entry.name for entry in folder.iterdir())
    ours = [file for file in files if file.lower().startswith(PREFIX.lower()) or file in fields]
    return [file for file in ours if _bare(file) not in fields or file in fields]


def _all(environment: Mapping[str, str]) -> list[str]:
    return [name for name, value in environment.items() if value and name.upper().startswith(PREFIX)]


def _bare(file: str) -> str:
    return file.lower().removeprefix(PREFIX.lower())


def _stem(name: str) -> str:
    return name[len(PREFIX) :].lower()
