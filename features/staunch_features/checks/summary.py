"""A feature view for people: what each feature means, how it is spread, and how the label goes with it."""

import textwrap
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from staunch_features.checks.distribution.feature_summary import FeatureSummary, summarise_feature
from staunch_features.checks.notes import broken_promises
from staunch_features.checks.sample import SAMPLE_IDS, draw
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.feature_doc import FeatureDoc, heading
from staunch_features.views.file import ELIGIBLE, FeatureView, LabelText
from staunch_features.views.source import FeatureSource

_BARS = "▁▂▃▄▅▆▇█"
_LINE = 100


@dataclass(frozen=True, slots=True)
class ViewSummary:
    """A view over a sample of its population.

    Attributes:
        view: The view.
        as_of: The moment; None for a view without one.
        rows: How many eligible rows were looked at; with a label, of known label.
        label_share: The share of true labels; None without a label or rows.
        features: The features in the view's order.
    """

    view: FeatureView
    as_of: datetime | None
    rows: int
    label_share: float | None
    features: tuple[FeatureSummary, ...]

    def of(self, view: FeatureView, names: Collection[str]) -> "ViewSummary":
        """Returns it of some features only, with the texts of a view, which may be in another language."""
        kept = (each for each in self.features if each.column.name in names)
        some = tuple(replace(each, doc=view.features[each.column.name]) for each in kept)
        return replace(self, view=view, features=some)


async def summarise(
    database: Database,
    view: FeatureView,
    label: LabelText | None,
    as_of: datetime | None,
    *,
    most: int = SAMPLE_IDS,
    timeout_s: float = 60,
) -> ViewSummary:
    """Reads a sample of the population and sums it up.

    Args:
        database: The reader's connections.
        view: The view.
        label: The label to set against the features; it needs an outcome window that lies in the past.
        as_of: The moment; None for a view without as-of time.
        most: How many ids to read at most, drawn from all of the population.
        timeout_s: How long each statement may take, in seconds.

    Raises:
        ViewError: The view or label is at fault, or a row breaks what the header promises.
        DatabaseUnavailable: The database is away.
        TimeoutError: A statement took longer than that.
    """
    # Broken promises are refused first: a spread over nulls that the header denies would say what is not so.
    source = FeatureSource(database, view)
    signature = await source.signature(Deadline.after(timeout_s))
    ids = await draw(database, view, signature.id_type, most=most, timeout_s=timeout_s)
    batch = await source.fetch(ids, as_of, deadline=Deadline.after(timeout_s))
    for broken in broken_promises(view, batch, ids):
        raise broken
    kept, truth = batch.eligible, None
    if label is not None:
        labels = await source.labels(label, ids, as_of, timeout_s=timeout_s)
        kept = kept & labels.known
        truth = labels.values[kept]
    values = batch.values[kept]
    return ViewSummary(
        view=view,
        as_of=batch.as_of,
        rows=len(values),
        label_share=float(truth.mean()) if truth is not None and len(truth) else None,
        features=tuple(
            summarise_feature(column, view.features[column.name], values[:, place], truth)
            for place, column in enumerate(signature.features)
        ),
    )


def describe(summary: ViewSummary) -> str:
    """Writes a summary as text for a terminal, a paragraph for each feature."""
    share = "" if summary.label_share is None else f", label true for {summary.label_share:.1%}"
    moment = "" if summary.as_of is None else f" as of {summary.as_of:%Y-%m-%d %H:%M %Z}"
    head = [summary.view.description, f"{summary.rows:,} rows{moment}{share}."]
    features = ("\n".join(_lines(each)) for each in summary.features)
    parts = ["\n".join(head), *_rules(summary.view), *_legend(summary), *features]
    return "\n\n".join(parts) + "\n"


def bars(heights: Iterable[float]) -> str:
    """Draws numbers of 0 or more as a row of bars, the greatest full."""
    heights = list(heights)
    top = max(heights, default=0)
    return "".join(_BARS[round((len(_BARS) - 1) * height / top) if top else 0] for height in heights)


def _rules(view: FeatureView) -> list[str]:
    """What the view says of many features at once, a paragraph; nothing where it says nothing."""
    lines = [
        textwrap.fill(rule, _LINE, initial_indent="  - ", subsequent_indent="    ")
        for rule in (*who_is_eligible(view), *view.rules)
    ]
    return ["\n".join(lines)] if lines else []


def who_is_eligible(view: FeatureView) -> list[str]:
    """Returns the sentence on who is trained on and scored; nothing where the view does not say it."""
    if view.eligible in ("", ELIGIBLE):
        return []
    if view.language.startswith("fr"):
        who = f"tout {view.entity} qui {view.eligible}"
        return [f"Admissible, donc utilisé pour l'entraînement et évalué\u00a0: {who}."]
    return [f"Eligible, so trained on and scored, is who {view.eligible}."]


def _legend(summary: ViewSummary) -> list[str]:
    """What the two lines of a feature's numbers say; nothing where there are none."""
    lines = []
    if any(feature.quantiles for feature in summary.features):
        lines += [
            f"  {bars(range(8))}  rows in ten equal steps from the 1st to the 99th percentile; the outer two",
            "  also count the rows beyond. Then: least … 10th percentile … median … 90th … greatest value",
        ]
    if any(feature.trend for feature in summary.features):
        lines.append(
            "  label  the share of true ones in up to five groups of about as many rows, as equal values\n"
            "  allow, low values to high; and how many rows each has"
        )
    return ["\n".join(lines)] if lines else []


def _lines(feature: FeatureSummary) -> list[str]:
    doc = feature.doc
    unit = f" [{doc.unit}]" if doc.unit else ""
    labels = ", ".join(f"{number:g} {label}" for number, label in doc.labels.items())
    window = f", over {doc.window}" if doc.window else ""
    null = f"null ({feature.nulls:.1%}): {doc.null}" if doc.nullable else "never null"
    read_from = f"from {sources(doc)}" if doc.source else ""
    lines = [
        f"{heading(feature.column.name, doc)}{unit}",
        f"  {doc.description}",
        *textwrap.wrap(labels, _LINE, initial_indent="  ", subsequent_indent="  "),
        f"  {'; '.join(filter(None, (f'{read_from}{window}'.removeprefix(', '), null)))}",
    ]
    if feature.quantiles:
        least, low, middle, high, most = map(_figure, feature.quantiles)
        lines.append(f"  {bars(feature.spread)}  {least} … {low} … {middle} … {high} … {most}")
    if feature.trend:
        shares = " ".join(f"{share:.1%}" for share in feature.trend)
        nulls = "" if feature.null_trend is None else f", null {feature.null_trend:.1%}"
        rows = " ".join(f"{size:,}" for size in feature.sizes)
        lines.append(f"  {bars(feature.trend)}  label {shares} of {rows} rows{nulls}")
    return lines


def _figure(value: float) -> str:
    """Four digits, or all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def sources(doc: FeatureDoc) -> str:
    """Lists the tables and columns that a feature is read from."""
    return ", ".join(doc.source)
