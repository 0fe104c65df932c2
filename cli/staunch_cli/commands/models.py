"""`staunch models`: what is served, and which version an alias points at."""

from argparse import ArgumentParser, Namespace, _SubParsersAction
from typing import TYPE_CHECKING

from staunch_cli.printing import display
from staunch_cli.shared import calling

if TYPE_CHECKING:
    from staunch import Metric, Model


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch models` and its branches; alone it lists."""
    parser = subparsers.add_parser("models", description="Lists and shows models, moves aliases, reloads.")
    calling.add_server(parser)
    parser.set_defaults(run=run_list, name="")
    branches = parser.add_subparsers(metavar="ACTION")

    listing = branches.add_parser("list", help="list the versions in the store")
    listing.add_argument("name", nargs="?", default="", help="of this model only")
    listing.set_defaults(run=run_list)

    showing = branches.add_parser("show", help="show one version in full")
    showing.add_argument("model", nargs="?", default="", help='"churn", "churn@3" or "churn@champion"')
    showing.set_defaults(run=run_show)

    alias = branches.add_parser("alias", help="point an alias at a version, which is verified first")
    alias.add_argument("name", help="the model")
    alias.add_argument("alias", help='the alias, for example "champion"')
    alias.add_argument("version", type=int, help="the version it shall point at")
    alias.add_argument(
        "--expect", type=int, metavar="VERSION", help="fail if it does not point there now (0: nowhere)"
    )
    alias.set_defaults(run=run_alias)

    reloading = branches.add_parser("reload", help="read the store again")
    reloading.set_defaults(run=run_reload)


def run_list(args: Namespace) -> int:
    """Prints a line for each version."""
    with calling.client(args) as client:
        found = client.list_models(args.name)
    print(_versions(found) if found else "no models; publish one with `staunch train`")
    return 0


def run_show(args: Namespace) -> int:
    """Prints one version: what it is, how good it is, what it looks at."""
    with calling.client(args) as client:
        model = client.get_model(args.model)
    print(display.facts(_facts(model)))
    if model.metrics:
        print(f"\n{display.table(('metric', 'value', '95 % interval'), [_metric(m) for m in model.metrics])}")
    if model.features:
        rows = [(f.name, f.unit, f.description) for f in model.features]
        print(f"\n{display.table(('feature', 'unit', 'description'), rows)}")
    return 0


def run_alias(args: Namespace) -> int:
    """Moves an alias and says where it pointed before."""
    with calling.client(args) as client:
        moved = client.set_alias(args.name, args.alias, args.version, expected_version=args.expect)
    before = f", before at version {moved.previous_version}" if moved.previous_version else ""
    print(f"{args.name}@{args.alias} points at {moved.model.reference}{before}")
    return 0


def run_reload(args: Namespace) -> int:
    """Reloads and prints the versions whose state changed."""
    with calling.client(args) as client:
        changed = client.reload_models()
    print(_versions(changed) if changed else "nothing changed")
    return 0


def _versions(models: "list[Model]") -> str:
    rows = [
        (str(m.reference), m.state, ", ".join(m.aliases), display.time(m.create_time), _problem(m))
        for m in models
    ]
    return display.table(("model", "state", "aliases", "published", ""), rows)


def _problem(model: "Model") -> str:
    return ": ".join(part for part in (model.state_reason, model.state_message) if part)


def _facts(model: "Model") -> list[tuple[str, str]]:
    return [
        ("model", str(model.reference)),
        ("digest", model.reference.digest),
        ("aliases", ", ".join(model.aliases)),
        ("state", str(model.state)),
        ("problem", _problem(model)),
        ("published", display.time(model.create_time)),
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
