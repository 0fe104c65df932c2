"""Where views and labels are looked for, and the text that a served version answers with."""

from pathlib import Path

import pytest
from tests.client.harness.scripted import ScriptedServer

from staunch import Client, Model
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.view_lookup import feature_folders, label_folders, served_view
from staunch_features.views.file import load_view
from staunch_server.settings import Settings
from staunch_sql import FEATURES_FOLDER, LABELS_FOLDER

SHIPPED = load_view("churn", [FEATURES_FOLDER])


def test_ones_own_folder_is_searched_before_ours():
    settings = Settings(views=Path("mine"))
    assert feature_folders(settings) == [Path("mine/features"), FEATURES_FOLDER]
    assert label_folders(settings) == [Path("mine/labels"), LABELS_FOLDER]


def test_without_a_folder_of_ones_own_only_ours_is_searched():
    assert feature_folders(Settings()) == [FEATURES_FOLDER]
    assert label_folders(Settings()) == [LABELS_FOLDER]


def model_of(server: ScriptedServer, digest: str) -> Model:
    server.service.view_digest = digest
    with Client(server.target) as client:
        return client.get_model()


def test_a_file_that_is_still_the_text_of_the_version_serves(server, tmp_path):
    model = model_of(server, f"sha256:{SHIPPED.sha256}")
    assert served_view(model, Settings(store=tmp_path)) == SHIPPED


def test_a_file_that_is_another_text_is_refused_with_what_to_name(server, tmp_path):
    model = model_of(server, "sha256:other")
    with pytest.raises(CommandError, match=r"is another text; name the server's store with --store"):
        served_view(model, Settings(store=tmp_path))
