"""The digest of a manifest, in a file of its version: what proves the one that proves all others.

`sha256sum --check manifest.sha256` understands the file.
"""

import hashlib
import re
from pathlib import Path

from staunch_model_store import disk
from staunch_model_store.manifest import MANIFEST_JSON, MANIFEST_SHA256

_LINE = re.compile(rb"([0-9a-f]{64})  manifest\.json\n")
_MAX_BYTES = 1000


def digest(manifest: bytes) -> str:
    """Returns "sha256:" and the lower-case hex digest of a manifest.json."""
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def read(folder: Path) -> str:
    """Reads the digest that a version holds of its manifest; "" if an older release published it.

    Raises:
        Unfit: The file is no file, or holds anything else.
        OSError: It cannot be read.
    """
    try:
        content = disk.read_file(folder / MANIFEST_SHA256, _MAX_BYTES)
    except FileNotFoundError:
        return ""
    found = _LINE.fullmatch(content)
    if found is None:
        raise disk.Unfit(f"{MANIFEST_SHA256} without the digest of manifest.json")
    return f"sha256:{found[1].decode()}"


def write(folder: Path, manifest: bytes) -> None:
    """Writes the digest of a manifest into the folder of its version, at one moment."""
    line = f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST_JSON}\n"
    disk.replace_file(folder / MANIFEST_SHA256, line.encode())
