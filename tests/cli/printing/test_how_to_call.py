"""The calls that a server shows are those of the version that answers them."""

from tests.server.small_models import small_files, small_manifest, small_trees, view_text

from staunch_cli.printing.how_to_call import how_to_call
from staunch_model_store.store import ModelStore
from staunch_server.settings import Settings


def test_they_ask_by_the_kind_of_key_that_the_champion_takes(tmp_path):
    store, trees = ModelStore(tmp_path), small_trees(0.0)
    for id_type in ("int64", "text"):

        def build(version, id_type=id_type):
            manifest = small_manifest(
                "churn", version, id_type, uses_as_of=True, base_value=trees.base_value()
            )
            return manifest, small_files(trees, view_text(id_type))

        store.publish("churn", build)
    settings = Settings(store=tmp_path)
    assert how_to_call(settings, {"churn@1": "champion", "churn@2": "next"})[0].endswith("predict 42")
    assert how_to_call(settings, {"churn@1": "next", "churn@2": "champion,new"})[0].endswith("predict KEY")
    assert how_to_call(settings, {"churn@2": "next"})[0].endswith("predict 42")
