"""Where feature views and labels are looked for: the user's own folder first, then ours."""

from pathlib import Path

from staunch_server.settings import Settings
from staunch_sql import FEATURES_FOLDER, LABELS_FOLDER


def feature_folders(settings: Settings) -> list[Path]:
    """The folders of feature views, in the order of search."""
    return [*_own(settings, "features"), FEATURES_FOLDER]


def label_folders(settings: Settings) -> list[Path]:
    """The folders of labels, in the order of search."""
    return [*_own(settings, "labels"), LABELS_FOLDER]


def _own(settings: Settings, kind: str) -> list[Path]:
    return [settings.views / kind] if settings.views is not None else []
