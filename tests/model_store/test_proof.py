"""The file that proves a manifest is what `sha256sum` writes, and nothing else is taken for it."""

import hashlib
from pathlib import Path

import pytest

from staunch_model_store import proof
from staunch_model_store.disk import Unfit
from staunch_model_store.manifest import MANIFEST_SHA256


def test_what_is_written_is_read_and_names_the_manifest(tmp_path: Path) -> None:
    assert proof.read(tmp_path) == ""
    proof.write(tmp_path, b"{}")
    hexed = hashlib.sha256(b"{}").hexdigest()
    assert (tmp_path / MANIFEST_SHA256).read_text() == f"{hexed}  manifest.json\n"
    assert proof.read(tmp_path) == proof.digest(b"{}") == f"sha256:{hexed}"


@pytest.mark.parametrize("content", ["", "0" * 64, "A" * 64 + "  manifest.json\n", "0" * 2000])
def test_what_is_no_digest_is_unfit(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST_SHA256).write_text(content)
    with pytest.raises(Unfit, match=r"manifest\.sha256"):
        proof.read(tmp_path)
