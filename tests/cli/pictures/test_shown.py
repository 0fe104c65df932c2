"""The pictures of the docs are those that the commands would draw today."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from tests.cli.pictures.shown import FOLDER, PAGE, main

NAMES = ("view-plot.png", "explain-plot.png")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    assert main([str(folder)]) == 0
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_picture_is_what_is_drawn_today(drawn: Path, name: str) -> None:
    now, committed = imread(drawn / name), imread(FOLDER / name)
    assert now.shape == committed.shape, "make docs"
    # Another processor may round an edge's shade another way.
    assert np.abs(now - committed).mean() < 0.002, "make docs"


def test_each_picture_is_shown_and_none_is_left_over() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(NAMES)
    assert all(f"(pictures/{name})" in PAGE.read_text() for name in NAMES)
