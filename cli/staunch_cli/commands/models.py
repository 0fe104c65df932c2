"""`staunch models`: what is served, and which version an alias points at."""

from argparse import SUPPRESS, ArgumentTypeError, _SubParsersAction
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from staunch_cli.commands import models_verify
from staunch_cli.printing import formatting
from staunch_cli.printing.json_results import alias_json, model_json, print_json
from staunch_cli.shared.arguments import CommandParser, Handler, add_json
from staunch_cli.shared.call_arguments import ServerArguments, add_language, add_server
from staunch_cli.shared.client import connected_client

if TYPE_CHECKING:
    from staunch import Feature, Metric, Model


@dataclass(frozen=True)
class ModelsArguments(ServerArguments):
    """Which server to ask, and whether to print one JSON object."""

    json: bool


@dataclass(frozen=True)
class ListArguments(ModelsArguments):
    """The model whose versions to list; empty for all, as `staunch models` alone does."""

    name: str = ""


@dataclass(frozen=True)
class ShowArguments(ModelsArguments):
    """The version to show, empty for the server's default, and the language of its features' texts."""

    model: str
    language: str


@dataclass(frozen=True)
class AliasArguments(ModelsArguments):
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


@dataclass(frozen=True)
class DeleteAliasArguments(ModelsArguments):
    """The alias to take away.

    Attributes:
        name: The model.
        alias: The alias, such as "challenger".
        expect: The version that it must point at before; None takes it from anywhere.
    """

    name: str
    alias: str
    expect: int | None


def add(subparsers: "_SubParsersAction[CommandParser]") -> None:
    """Registers `staunch models` and its branches; alone it lists."""
    parser = subparsers.add_parser(
        "models",
        usage="staunch models [-h] [--server HOST:PORT] [--timeout S] [--json] [NAME@VERSION | ACTION ...]",
        description="Lists and shows models, moves aliases, reloads. Alone it lists all versions; "
        "`staunch models NAME@VERSION` is short for `staunch models show NAME@VERSION`.",
    )
    add_server(parser)
    add_json(parser)
    parser.set_defaults(handler=Handler(ListArguments, run_list))
    actions = parser.add_subparsers(metavar="ACTION", prog="staunch models")
    parser.written_out = partial(_with_show, actions)
    _add_list(actions)
    _add_show(actions)
    _add_alias(actions)
    _add_delete_alias(actions)
    _add_reload(actions)
    models_verify.add(actions)


def _with_show(actions: "_SubParsersAction[CommandParser]", words: Sequence[str]) -> Sequence[str]:
    """Puts `show` before a version that stands where an action would."""
    for place, word in enumerate(words):
        if word in actions.choices:
            break
        if "@" in word and not word.startswith("-"):
            return [*words[:place], "show", *words[place:]]
    return words


def _add_list(actions: "_SubParsersAction[CommandParser]") -> None:
    parser = _add_action(
        actions, "list", "list the versions in the store", "Lists the versions in the store, a line each."
    )
    parser.add_argument("name", nargs="?", default="", help="of this model only (default: of all)")
    parser.set_defaults(handler=Handler(ListArguments, run_list))


def _add_show(actions: "_SubParsersAction[CommandParser]") -> None:
    parser = _add_action(
        actions,
        "show",
        "show one version in full",
        "Shows one version: what it is, how good it is, what it looks at.",
    )
    parser.add_argument(
        "model",
        nargs="?",
        default="",
        help='"churn", "churn@3" or "churn@champion" (default: the server\'s default model)',
    )
    add_language(parser)
    parser.set_defaults(handler=Handler(ShowArguments, run_show))


def _add_alias(actions: "_SubParsersAction[CommandParser]") -> None:
    parser = _add_action(
        actions,
        "alias",
        "point an alias at a version, which is verified first",
        "Points an alias at a version. The version is loaded and verified first; if it fails, the alias "
        "stays where it is.",
    )
    parser.add_argument("name", help="the model")
    parser.add_argument("alias", help='the alias, for example "champion"')
    parser.add_argument("version", type=_version, help="the version it shall point at")
    parser.add_argument(
        "--expect",
        type=_version_or_none,
        metavar="VERSION",
        help="fail if it does not point there now; 0: nowhere (default: move it from anywhere)",
    )
    parser.set_defaults(handler=Handler(AliasArguments, run_alias))


def _add_delete_alias(actions: "_SubParsersAction[CommandParser]") -> None:
    parser = _add_action(
        actions,
        "delete-alias",
        "take an alias away; its version stays",
        "Takes an alias away: who asks for it is refused from then on. Its version stays in the store.",
    )
    parser.add_argument("name", help="the model")
    parser.add_argument("alias", help='the alias, for example "challenger"')
    parser.add_argument(
        "--expect",
        type=_version,
        metavar="VERSION",
        help="fail if it does not point there now (default: take it from anywhere)",
    )
    parser.set_defaults(handler=Handler(DeleteAliasArguments, run_delete_alias))


def _add_reload(actions: "_SubParsersAction[CommandParser]") -> None:
    parser = _add_action(
        actions,
        "reload",
        "read the store again",
        "Has the server read the store again, and lists the versions whose state changed.",
    )
    parser.set_defaults(handler=Handler(ModelsArguments, run_reload))


def _add_action(
    actions: "_SubParsersAction[CommandParser]", name: str, summary: str, description: str
) -> CommandParser:
    """Adds an action that takes the flags of `staunch models` behind its name too."""
    parser = actions.add_parser(name, help=summary, description=description)
    # What is not given here stays what it is before the name.
    add_server(parser, default=SUPPRESS)
    add_json(parser, default=SUPPRESS)
    return parser


def run_list(arguments: ListArguments) -> int:
    """Prints a line for each version."""
    with connected_client(arguments) as client:
        models = client.list_models(arguments.name)
    if arguments.json:
        print_json({"models": [model_json(model) for model in models]})
    else:
        print(_versions(models) if models else "no models; publish one with `staunch train`")
    return 0


def run_show(arguments: ShowArguments) -> int:
    """Prints one version: what it is, how good it is, what it looks at."""
    with connected_client(arguments) as client:
        model = client.get_model(arguments.model)
    if arguments.json:
        print_json(model_json(model))
        return 0
    print(formatting.facts(_facts(model)))
    if model.metrics:
        print(
            f"\n{formatting.table(('metric', 'value', '95 % interval'), [_metric(m) for m in model.metrics])}"
        )
    if model.features:
        rows = [_feature(feature.in_language(arguments.language)) for feature in model.features]
        print(f"\n{formatting.table(('title', 'feature', 'unit', 'description'), rows)}")
    return 0


def run_alias(arguments: AliasArguments) -> int:
    """Moves an alias and says where it pointed before."""
    with connected_client(arguments) as client:
        moved = client.set_alias(
            arguments.name, arguments.alias, arguments.version, expected_version=arguments.expect
        )
    if arguments.json:
        print_json(alias_json(arguments.name, arguments.alias, moved))
        return 0
    before = f", before at version {moved.previous_version}" if moved.previous_version else ""
    if moved.previous_version == arguments.version:
        before = ", as before"
    print(f"{arguments.name}@{arguments.alias} points at {moved.model.reference}{before}")
    return 0


def run_delete_alias(arguments: DeleteAliasArguments) -> int:
    """Takes an alias away and says where it pointed."""
    with connected_client(arguments) as client:
        previous = client.delete_alias(arguments.name, arguments.alias, expected_version=arguments.expect)
    alias = f"{arguments.name}@{arguments.alias}"
    if arguments.json:
        print_json({"alias": alias, "previous_version": previous})
    elif previous is None:
        print(f"there is no {alias}, so nothing was deleted")
    else:
        print(f"{alias} is deleted; it pointed at version {previous}")
    return 0


def run_reload(arguments: ModelsArguments) -> int:
    """Reloads and prints the versions whose state changed."""
    with connected_client(arguments) as client:
        changed = client.reload_models()
    if arguments.json:
        print_json({"models": [model_json(model) for model in changed]})
    else:
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
        ("eligible is who", model.eligible),
        ("view digest", model.view_digest),
        ("features digest", model.features_digest),
        ("horizon", f"{model.horizon_days} days" if model.horizon_days else ""),
        ("explains in", "" if model.output_space == "unspecified" else str(model.output_space)),
        ("medium risk from", _threshold(model.medium_threshold)),
        ("high risk from", _threshold(model.high_threshold)),
    ]


def _version_or_none(text: str) -> int:
    return 0 if text == "0" else _version(text)


def _version(text: str) -> int:
    if not text.isdecimal() or len(text) > 10 or not 0 < int(text) < 2**31:
        raise ArgumentTypeError(
            f"expected the number of a version, from 1 to {2**31 - 1}, such as 3, got {text[:80]!r}"
        )
    return int(text)


def _threshold(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _feature(feature: "Feature") -> tuple[str, str, str, str]:
    labels = ", ".join(f"{value:g} {label}" for value, label in feature.labels.items())
    description = f"{feature.description} ({labels})" if labels else feature.description
    return feature.title, feature.name, feature.unit, description


def _metric(metric: "Metric") -> tuple[str, str, str]:
    if metric.lower is None or metric.upper is None:
        return metric.name, f"{metric.value:.4f}", ""
    return metric.name, f"{metric.value:.4f}", f"{metric.lower:.4f} to {metric.upper:.4f}"
