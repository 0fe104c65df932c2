"""Where feature views and labels are looked for: the user's own folder first, then ours."""

from pathlib import Path
from typing import TYPE_CHECKING

from staunch_cli.shared.errors import CommandError
from staunch_server.settings import Settings
from staunch_sql import FEATURES_FOLDER, LABELS_FOLDER

if TYPE_CHECKING:
    from staunch import Model
    from staunch_features.views.file import FeatureView


def feature_folders(settings: Settings) -> list[Path]:
    """The folders of feature views, in the order of search."""
    return [*_own_folders(settings, "features"), FEATURES_FOLDER]


def label_folders(settings: Settings) -> list[Path]:
    """The folders of labels, in the order of search."""
    return [*_own_folders(settings, "labels"), LABELS_FOLDER]


def served_view(model: "Model", settings: Settings) -> "FeatureView":
    """The very text that answers for a served version: the store's, or else the file's if it is the same.

    Raises:
        CommandError: Neither is; a file that was edited since may name another population.
    """
    from staunch_features.errors import ViewError
    from staunch_features.views.file import load_view

    try:
        view = _stored_view(model, settings) or load_view(model.view, feature_folders(settings))
    except ViewError as error:
        raise _text_not_found(model, settings, str(error)) from error
    if f"sha256:{view.sha256}" != model.view_digest:
        raise _text_not_found(model, settings, f"{view.file} is another text")
    return view


def _stored_view(model: "Model", settings: Settings) -> "FeatureView | None":
    view = view_of_version(settings, model.reference.name, model.reference.version)
    return view if view and f"sha256:{view.sha256}" == model.view_digest else None


def view_of_version(settings: Settings, name: str, version: int) -> "FeatureView | None":
    """Returns the view that a version of the store was trained with; None if it cannot be read.

    Raises:
        ViewError: The store's text is no view that this release understands.
    """
    from staunch_features.views.file import parse_view
    from staunch_model_store.errors import ModelStoreError
    from staunch_model_store.manifest import FEATURES_SQL
    from staunch_model_store.store import ModelStore

    try:
        stored = ModelStore(settings.model_folder).read(name, version)
    except ModelStoreError:
        return None
    text = stored.files[FEATURES_SQL].decode()
    return parse_view(stored.manifest.view, text, f"{name}@{version}/{FEATURES_SQL}")


def _text_not_found(model: "Model", settings: Settings, why: str) -> CommandError:
    store = settings.model_folder.absolute()
    lacks = "does not hold that version" if store.is_dir() else "is no folder"
    return CommandError(
        f"the text that {model.reference} was trained with is not here: the store {store} {lacks}, "
        f"and {why}; name the server's store with --store (STAUNCH_STORE), or the customers with --ids"
    )


def _own_folders(settings: Settings, kind: str) -> list[Path]:
    return [settings.views / kind] if settings.views is not None else []
