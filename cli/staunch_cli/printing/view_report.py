"""What `staunch view check` found, as text for people."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from staunch_cli.printing import formatting

if TYPE_CHECKING:
    from staunch_features.checks.execution import Scan
    from staunch_features.checks.findings import ColumnCheck, LabelCheck, ViewCheck

_KEYS = {"int64": "bigint", "text": "text", "uuid": "uuid"}


def view_report(check: "ViewCheck", *, plan: bool) -> str:
    """Writes all that was found, the verdict last.

    Args:
        check: What `check_view` gave.
        plan: Whether the database's whole plan is shown too.
    """
    parts = [
        formatting.facts(_fact_rows(check)),
        formatting.table(
            ("feature", "title", "unit", "nulls"), [_column(check, each) for each in check.columns]
        ),
        "\n".join(_plan_lines(check)),
        *([check.plan.text] if plan else []),
        "\n".join(_look_ahead_lines(check)),
        "\n".join(_verdict_lines(check)),
    ]
    return "\n\n".join(part for part in parts if part)


def _fact_rows(check: "ViewCheck") -> list[tuple[str, str]]:
    signature = check.signature
    eligible = f", {check.eligible:,} of them eligible" if signature.has_eligible else ""
    return [
        ("view", f"{check.view.name}, {check.view.file}"),
        ("", check.view.description),
        ("key", f"{_KEYS[signature.id_type]}, column {signature.id_column}"),
        ("as of", formatting.utc_time(check.as_of) or "none: the view takes no as-of time"),
        ("rows", f"{check.found:,} found for the ids tried{eligible}"),
        ("label", _label(check.label)),
    ]


def _label(label: "LabelCheck | None") -> str:
    if label is None:
        return "none yet: `staunch train` wants one in labels/"
    share = f", {label.true / label.known:.1%}" if label.known else ""
    when = f" as of {label.as_of:%Y-%m-%d}" if label.as_of else ""
    return f"known for {label.known:,} of {label.rows:,} rows{when}, true for {label.true:,}{share}"


def _column(check: "ViewCheck", found: "ColumnCheck") -> tuple[str, str, str, str]:
    column = found.column
    if not column.nullable:
        nulls = "never"
    else:
        nulls = f"{found.nulls:,} ({found.nulls / found.rows:.1%})" if found.rows else "no rows"
    return column.name, check.view.features[column.name].title, column.unit, nulls


def _plan_lines(check: "ViewCheck") -> Iterator[str]:
    yield f"reads, for {check.plan.ids:,} ids ({check.plan.blocks:,} blocks of 8 KiB)"
    yield from dict.fromkeys(f"  {scan.table}: {_scan(scan)}" for scan in check.plan.scans)
    for timing in check.timings:
        yield f"  {timing.ids:>6,} {'id: ' if timing.ids == 1 else 'ids:'} {timing.median_ms:.1f} ms"


def _scan(scan: "Scan") -> str:
    by = f" by {scan.index}" if scan.index else ""
    return f"{scan.kind}{by}, {scan.rows:,} rows"


def _look_ahead_lines(check: "ViewCheck") -> Iterator[str]:
    if not check.signature.uses_as_of:
        return
    yield "look-ahead"
    for probe in check.probes:
        result = f"{', '.join(probe.changed)} CHANGED" if probe.changed else "nothing changed"
        yield f"  {probe.table}: {result} as of {probe.as_of:%Y-%m-%d} with all later rows hidden"
    for untried in check.untried:
        hint = f"; {untried.hint}" if untried.hint else ""
        yield f"  {untried.what}: not tried: {untried.why}{hint}"
    if check.not_probed:
        yield f"  not tried, for want of time_columns in the header: {', '.join(check.not_probed)}"


def _verdict_lines(check: "ViewCheck") -> Sequence[str]:
    advice = [f"advice: {note}" for note in check.advice]
    errors = [f"error: {error}" for error in check.errors]
    return [*advice, *errors, f"{check.view.name} {_verdict(check)}"]


def _verdict(check: "ViewCheck") -> str:
    if check.errors:
        return "must be mended"
    # What nothing can be done about, such as a table without rows, is no reason for doubt.
    return "is good as far as it was tried" if any(each.hint for each in check.untried) else "is good"
