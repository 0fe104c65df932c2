"""`staunch models`: what is served, and which version an alias points at."""

from argparse import ArgumentParser, _SubParsersAction
from dataclasses import dataclass
from typing import TYPE_CHECKING

from staunch_cli.printing import formatting
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.call_arguments import ServerArguments, add_server
from staunch_cli.shared.client import connected_client

if TYPE_CHECKING:
    from staunch import Metric, Model


@dataclass(frozen=True)
class ListArguments(ServerArguments):
    """The model whose versions to list; empty for all, as `staunch models` alone does."""

    name: str = ""


@dataclass(frozen=True)
class ShowArguments(ServerArguments):
    """The version to show; empty for the server's default."""

    model: str


@dataclass(frozen=True)
class AliasArguments(ServerArguments):
    """The alias to move, and where to.

    Attributes:
        name: The model.
        alias: The alias, such as "champion".
        version: The version that it shall point at.
        expect: The version that it must point at before, 0 for none; None moves it from anywhere.
    """

    name: str
    alias: str
    version: int
    expect: int | None


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch models` and its branches; alone it lists."""
    parser = subparsers.add_parser("models", description="Lists and shows models, moves aliases, reloads.")
    add_server(parser)
    parser.set_defaults(handler=Handler(ListArguments, run_list))
    actions = parser.add_subparsers(metavar="ACTION")

    list_parser = actions.add_parser("list", help="list the versions in the store")
    list_parser.add_argument("name", nargs="?", default="", help="of this model only")
    list_parser.set_defaults(handler=Handler(ListArguments, run_list))

    show_parser = actions.add_parser("show", help="show one version in full")
    show_parser.add_argument("model", nargs="?", default="", help='"churn", "churn@3" or "churn@champion"')
    show_parser.set_defaults(handler=Handler(ShowArguments, run_show))

    alias_parser = actions.add_parser("alias", help="point an alias at a version, which is verified first")
    alias_parser.add_argument("name", help="the model")
    alias_parser.add_argument("alias", help='the alias, for example "champion"')
    alias_parser.add_argument("version", type=int, help="the version it shall point at")
    alias_parser.add_argument(
        "--expect", type=int, metavar="VERSION", help="fail if it does not point there now (0: nowhere)"
    )
    alias_parser.set_defaults(handler=Handler(AliasArguments, run_alias))

    reload_parser = actions.add_parser("reload", help="read the store again")
    reload_parser.set_defaults(handler=Handler(ServerArguments, run_reload))


def run_list(arguments: ListArguments) -> int:
    """Prints a line for each version."""
    with connected_client(arguments) as client:
        models = client.list_models(arguments.name)
    print(_versions(models) if models else "no models; publish one with `staunch train`")
    return 0


def run_show(arguments: ShowArguments) -> int:
    """Prints one version: what it is, how good it is, what it looks at."""
    with connected_client(arguments) as client:
        model = client.get_model(arguments.model)
    print(formatting.facts(_facts(model)))
    if model.metrics:
        print(
            f"\n{formatting.table(('metric', 'value', '95 % interval'), [_metric(m) for m in model.metrics])}"
        )
    if model.features:
        rows = [(f.name, f.unit, f.description) for f in model.features]
        print(f"\n{formatting.table(('feature', 'unit', 'description'), rows)}")
    return 0


def run_alias(arguments: AliasArguments) -> int:
    """Moves an alias and says where it pointed before."""
    with connected_client(arguments) as client:
        moved = client.set_alias(
            arguments.name, arguments.alias, arguments.version, expected_version=arguments.expect
        )
    before = f", before at version {moved.previous_version}" if moved.previous_version else ""
    print(f"{arguments.name}@{arguments.alias} points at {moved.model.reference}{before}")
    return 0


def run_reload(arguments: ServerArguments) -> int:
    """Reloads and prints the versions whose state changed."""
    with connected_client(arguments) as client:
        changed = client.reload_models()
    print(_versions(changed) if changed else "nothing changed")
    return 0


def _versions(models: "list[Model]") -> str:
    rows = [
        (str(m.reference), m.state, ", ".join(m.aliases), formatting.utc_time(m.create_time), _problem(m))
        for m in models
    ]
    return formatting.table(("model", "state", "aliases", "published", ""), rows)


def _problem(model: "Model") -> str:
    return ": ".join(part for part in (model.state_reason, model.state_message) if part)


def _facts(model: "Model") -> list[tuple[str, str]]:
    return [
        ("model", str(model.reference)),
        ("digest", model.reference.digest),
        ("aliases", ", ".join(model.aliases)),
        ("state", str(model.state)),
        ("problem", _problem(model)),
        ("published", formatting.utc_time(model.create_time)),
        ("view", f"{model.view}, keyed by {model.id_type}"),
        ("view digest", model.view_digest),
        ("features digest", model.features_digest),
        ("horizon", f"{model.horizon_days} days" if model.horizon_days else ""),
        ("explains in", "" if model.output_space == "unspecified" else str(model.output_space)),
        ("medium risk from", _threshold(model.medium_threshold)),
        ("high risk from", _threshold(model.high_threshold)),
    ]


def _threshold(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _metric(metric: "Metric") -> tuple[str, str, str]:
    if metric.lower is None or metric.upper is None:
        return metric.name, f"{metric.value:.4f}", ""
    return metric.name, f"{metric.value:.4f}", f"{metric.lower:.4f} to {metric.upper:.4f}"
