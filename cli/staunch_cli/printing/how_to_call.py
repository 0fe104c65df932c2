"""How to call what a server serves: lines to copy, for the model and the kind of key that it has."""

import contextlib
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from staunch_cli.shared.call_arguments import DEFAULT_SERVER
from staunch_cli.shared.example_customers import NO_EXAMPLES, ExampleCustomers
from staunch_model_store.manifest import Manifest
from staunch_model_store.reference import CHAMPION
from staunch_model_store.store import ModelStore
from staunch_server.settings import Settings
from staunch_server.settings import address as address_of


def how_to_call(
    settings: Settings, serves: Mapping[str, str], examples: ExampleCustomers = NO_EXAMPLES
) -> list[str]:
    """One call each by the command, by grpcurl and from Python; then who is refused, if somebody is known.

    Args:
        settings: Where the server and its models are.
        serves: The versions that answer, such as "churn@1", and their aliases, with commas between. The
            default model is shown if it is among them; a model's bare name is its champion.
        examples: Whom to ask about.
    """
    model, numeric_ids = _model_to_show(settings, serves)
    target = call_address(settings.host, settings.port) if settings.listen is None else settings.targets[0]
    address = shlex.quote(target)
    customer = examples.answering
    if customer is None:  # a word to be replaced
        customer = "ID" if numeric_ids else "KEY"
    literal = customer if customer == "ID" else json.dumps(customer, ensure_ascii=False)
    field, named = ("customer_id" if numeric_ids else "customer_key"), json.dumps(model)
    body = f'{{"{field}": {literal}' + (f', "model": {named}' if model else "") + "}"
    call = f"Client({json.dumps(target)}).predict({literal}" + (f", model={named}" if model else "") + ")"
    flags = "" if target == DEFAULT_SERVER else f" --server {address}"
    flags += f" --model {model}" if model else ""
    command, word = staunch_command(), shlex.quote(str(customer))
    return [
        f"{command} predict{flags} {word}",
        f"{command} explain{flags} {word}",
        f"grpcurl -plaintext -d {shlex.quote(body)} {address} staunch.v1.PredictionService/Predict",
        f"{command.parent / 'python'} -c {shlex.quote(f'from staunch import Client; print({call})')}",
        *_refused(examples, f"{command} predict{flags}"),
    ]


def _refused(examples: ExampleCustomers, predict: str) -> list[str]:
    """Says who is not eligible, so that nobody takes the refusal for a fault."""
    if examples.not_eligible is None:
        return []
    word = shlex.quote(str(examples.not_eligible))
    return [
        "",
        f"{predict} {word}",
        f"is refused as CUSTOMER_NOT_ELIGIBLE: only a {examples.entity} who {examples.eligible} has a score.",
    ]


def call_address(host: str, port: int) -> str:
    """Returns what a caller on this machine names, for whatever a server is bound to."""
    return address_of(_LOOPBACK.get(host, host), port)


_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - none is bound
"""What stands for all addresses can be bound and not called."""


def staunch_command() -> Path:
    """The path of the command `staunch` beside the Python that runs us, relative if it is below here."""
    command = Path(sys.executable).parent / "staunch"
    with contextlib.suppress(ValueError):
        command = command.relative_to(Path.cwd())
    return command


def _model_to_show(settings: Settings, serves: Mapping[str, str]) -> tuple[str, bool]:
    """The model to name in a call, empty for the default one, and whether its ids are numbers."""
    shown = champion_to_show(settings, serves)
    if shown is None:
        return "", True
    name, version = shown
    manifest = Manifest.parse(ModelStore(settings.model_folder).manifest_bytes(name, version))
    return ("" if name == settings.default_model else name), manifest.id_type == "int64"


def champion_to_show(settings: Settings, serves: Mapping[str, str]) -> tuple[str, int] | None:
    """Returns name and version of the champion that calls are shown for; None without one."""
    champions = [name for name, aliases in serves.items() if CHAMPION in aliases.split(",")]
    versions = dict(name.split("@") for name in champions)
    if not versions:
        return None
    name = settings.default_model if settings.default_model in versions else min(versions)
    return name, int(versions[name])
