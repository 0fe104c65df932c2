"""Where libraries keep what they remember from one run to the next: in the state folder, not in a home."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def caches_in(state_folder: Path) -> Iterator[None]:
    """Gives the libraries that are imported in the block, and what they start, the state folder's caches.

    matplotlib, which shap imports too, keeps settings and the fonts that it found; it finds them by a
    program of fontconfig's, which keeps its own. The environment of a user does not change where: what we
    leave is in one folder.
    """
    folder = state_folder.resolve() / "caches"
    ours = {"MPLCONFIGDIR": str(folder / "matplotlib"), "XDG_CACHE_HOME": str(folder)}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
