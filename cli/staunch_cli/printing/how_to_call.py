"""How to call what a server serves: lines to copy, for the model and the kind of key that it has."""

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from staunch_model_store.manifest import Manifest
from staunch_model_store.store import CHAMPION, ModelStore
from staunch_server.settings import Settings

_USUAL_PORT = 50051


def how_to_call(settings: Settings, serves: Mapping[str, str]) -> list[str]:
    """One call each by the command, by grpcurl and from Python.

    Args:
        settings: Where the server and its models are.
        serves: The versions that answer, such as "churn@1", and their aliases, with commas between. The
            default model is shown if it is among them; a model's bare name is its champion.
    """
    model, numeric_ids = _model_to_show(settings, serves)
    address = f"{settings.host}:{settings.port}"
    customer = "42" if numeric_ids else "KEY"
    flags = "" if settings.port == _USUAL_PORT else f" --server {address}"
    flags += f" --model {model}" if model else ""
    request = {"customer_id": 42} if numeric_ids else {"customer_key": customer}
    body = json.dumps(request | ({"model": model} if model else {}))
    arguments = ("42" if numeric_ids else f'"{customer}"') + (f', model="{model}"' if model else "")
    command = staunch_command()
    return [
        f"{command} predict{flags} {customer}",
        f"{command} explain{flags} {customer}",
        f"grpcurl -plaintext -d '{body}' {address} staunch.v1.PredictionService/Predict",
        f"{command.parent / 'python'} -c "
        f"'from staunch import Client; print(Client(\"{address}\").predict({arguments}))'",
    ]


def staunch_command() -> Path:
    """The path of the command `staunch` beside the Python that runs us, relative if it is below here."""
    command = Path(sys.executable).parent / "staunch"
    with contextlib.suppress(ValueError):
        command = command.relative_to(Path.cwd())
    return command


def _model_to_show(settings: Settings, serves: Mapping[str, str]) -> tuple[str, bool]:
    """The model to name in a call, empty for the default one, and whether its ids are numbers."""
    champions = [name for name, aliases in serves.items() if CHAMPION in aliases.split(",")]
    versions = dict(name.split("@") for name in champions)
    if not versions:
        return "", True
    name = settings.default_model if settings.default_model in versions else min(versions)
    manifest = Manifest.parse(ModelStore(settings.model_folder).manifest_bytes(name, int(versions[name])))
    return ("" if name == settings.default_model else name), manifest.id_type == "int64"
