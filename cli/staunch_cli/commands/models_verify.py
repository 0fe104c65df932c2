"""`staunch models verify`: proves the versions of the store, and writes digests that older releases lack."""

from argparse import SUPPRESS, _SubParsersAction
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from staunch_cli.printing import formatting
from staunch_cli.printing.json_results import print_json
from staunch_cli.shared.arguments import CommandParser, Handler, add_json
from staunch_cli.shared.call_arguments import ServerArguments
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.settings_arguments import SettingsArguments, add_store

if TYPE_CHECKING:
    from staunch_model_store.store import ModelStore


@dataclass(frozen=True)
class VerifyArguments(SettingsArguments, ServerArguments):
    """Which versions to prove; the server that `staunch models` takes flags for is not asked.

    Attributes:
        name: The model; empty for all.
        write: Whether to write the digests that are missing.
        json: Whether to print one JSON object.
    """

    name: str
    write: bool
    json: bool


class Verified(NamedTuple):
    """What became of a version: "proven", "unproven" or "refused", and the problem of one not proven."""

    model: str
    digest: str
    state: str
    problem: str


def add(actions: "_SubParsersAction[CommandParser]") -> None:
    """Registers `staunch models verify`."""
    parser = actions.add_parser(
        "verify",
        help="prove every version of the store here, without a server",
        description="Reads every version of the store, compares its files and manifest with their digests, "
        "and runs the golden rows; exit code 1 if one is refused. Older releases wrote no digest of the "
        "manifest: --write adds it, to what is sound otherwise and to the aliases that point at it.",
    )
    parser.add_argument("name", nargs="?", default="", help="of this model only (default: of all)")
    parser.add_argument(
        "--write", action="store_true", help="write the digests of manifests that are missing"
    )
    add_json(parser, default=SUPPRESS)
    add_store(parser)
    parser.set_defaults(handler=Handler(VerifyArguments, run))


def run(arguments: VerifyArguments) -> int:
    """Prints a line for each version, newest first, and tells whether all of them hold."""
    from staunch_model_store.store import ModelStore

    store = ModelStore(arguments.load_settings().model_folder)
    if not store.root.is_dir():  # a typing error must not pass for a store in which all is well
        raise CommandError(
            f"expected {store.root.absolute()} to be the folder of models, got none; "
            "name it with --store (STAUNCH_STORE)"
        )
    held = store.names()
    if arguments.name and arguments.name not in held:
        raise CommandError(
            f"expected the name of a model of the store {store.root.absolute()}, which holds "
            f"{', '.join(held[:10]) or 'none'}, got {arguments.name[:80]!r}"
        )
    names = [arguments.name] if arguments.name else held
    found = [_verified(store, name, n, arguments.write) for name in names for n in store.versions(name)]
    if arguments.json:
        keys = ("model", "model_digest", "state", "problem")
        print_json({"versions": [dict(zip(keys, one, strict=True)) for one in found]})
    else:
        rows = [(one.model, one.state, one.problem) for one in found]
        print(
            formatting.table(("model", "state", ""), rows)
            if rows
            else "no models; publish one with `staunch train`"
        )
    return int(any(one.state == "refused" for one in found))


def _verified(store: "ModelStore", name: str, version: int, write: bool) -> Verified:
    """Proves a version by all that a server looks at before it answers but the database's view."""
    from staunch_model_store.errors import ModelStoreError
    from staunch_model_store.model import LoadedModel

    model = f"{name}@{version}"
    try:
        stored = store.read(name, version)
        LoadedModel.load(stored)
        if write:
            stored = store.prove(name, version)
    except ModelStoreError as error:
        return Verified(model, "", "refused", str(error))
    if not stored.proven:
        problem = "nothing holds its manifest's digest; add --write to take it as it is"
        return Verified(model, stored.digest, "unproven", problem)
    return Verified(model, stored.digest, "proven", "")
