"""What `staunch run` and `staunch serve` share: whether there is something to serve."""

from staunch_cli.shared.serving import holds_models
from staunch_server.settings import Settings


def test_a_store_holds_models_once_an_alias_points_at_one(tmp_path):
    settings = Settings(store=tmp_path)
    assert not holds_models(settings)
    (tmp_path / "churn" / "versions" / "1").mkdir(parents=True)
    assert not holds_models(settings)
    (tmp_path / "churn" / "aliases.json").touch()
    assert holds_models(settings)
