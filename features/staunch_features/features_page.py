"""Writes the page of the views that we ship: `python -m staunch_features.features_page docs/features.md`."""

import sys
from pathlib import Path

import staunch_sql
from staunch_features.view import load_view
from staunch_features.view_show import page

__all__ = ["features_page", "main"]


def features_page() -> str:
    """Returns the page: each shipped view with its features, in the order of their names."""
    names = sorted(file.stem for file in staunch_sql.FEATURES_FOLDER.glob("*.sql"))
    return "\n".join(page(load_view(name, [staunch_sql.FEATURES_FOLDER])) for name in names)


def main() -> None:
    """Writes the page to the file named on the command line."""
    Path(sys.argv[1]).write_text(features_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
