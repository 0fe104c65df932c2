"""Writes the pages of docs/ that are made from the code: settings, metrics, errors, features.

`make docs` writes them; a test says when they are old.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

import staunch_sql
from staunch_features.checks.summary import sources, who_is_eligible
from staunch_features.views.feature_doc import MISSING, NEVER, FeatureDoc
from staunch_features.views.file import FeatureView, load_view
from staunch_server.errors import KEYS, Reason
from staunch_server.metrics import Metrics
from staunch_server.models.tally import WAIT_S
from staunch_server.process.present import GONE_S
from staunch_server.process.process_metrics import ProcessMetrics
from staunch_server.process.supervisor import SupervisorMetrics
from staunch_server.setting_names import PREFIX
from staunch_server.settings import Settings
from staunch_server.statuses import DOMAIN

_MADE = "<!-- Made by `make docs`; edit the code instead. -->"

_SETTINGS = f"""# Settings

{_MADE}

Each setting is a flag of `staunch run` and `staunch serve` (`--metrics-port`), a variable
(`STAUNCH_METRICS_PORT`), a file of a secrets folder (`staunch_metrics_port` in the folder that
`STAUNCH_SECRETS` names) and a key of a TOML file (`metrics_port` in `staunch.toml`, or in the file that
`STAUNCH_CONFIG` names). The first of these that has a value wins. They are read once, at the start. Names
that end in `_s` are seconds.

Passwords belong into the secrets folder: a variable can be read by every process of the same user.

A variable, key or secret file that is no setting and nearly named as one ends the start, and the line names
the right one. Another key does too; other variables, and files that begin with `staunch_`, are passed over,
with a line that lists them. So is what Kubernetes makes of a Service's name: with one called `staunch`,
STAUNCH_PORT is `tcp://…`, which is no port of ours. What else ends a start: [operations](operations.md).
"""

_METRICS = f"""# Metrics

{_MADE}

`/metrics` on port 9464 gives all workers together, in Prometheus' text format. Labels: `method` is the full
name of the RPC, `code` a gRPC status code, `reason` an ErrorInfo reason ([errors](errors.md)), `model` a
version such as `churn@3` (its name alone where `version` stands beside it), `worker` the number of a process
from 0, or `supervisor`. A histogram `x` is three series, `x_bucket`, `x_sum` and `x_count`. Who asks for
OpenMetrics gets that, and no format has `_created`.

Counters and histograms go on when a worker dies and is started again, and only its `process_*` begin anew;
they begin anew with the server, and those of one worker when a file of it in `metrics/` of the state folder
is damaged: the server says so and renames the file. A version that nothing needs any more is no longer in
`staunch_model_info`, and after {GONE_S:g} s without a count it is in no metric; if it is needed again, its
counts go on. `process_*` are read from /proc, which only Linux has.

What to look at first, and what `staunch top` shows: the rate of `staunch_calls_total` by `code`, the 99th
percentile of `staunch_call_seconds{{code="OK"}}`, and `staunch_sql_seconds` against it, since the database
is most of a call. [alerts.yml](alerts.yml) has rules to begin with.

What a data scientist looks at: whether the scores move, by `staunch_scores` or the share of a band in
`staunch_score_bands_total`, and whether a source dried up, by a feature's share of missing values,
`rate(staunch_feature_missing_total[1h])` over `rate(staunch_scores_count[1h])`. All that is scored counts,
what callers tried with values of their own too; at most {WAIT_S:g} s after it was scored.

`grpc.health.v1` is SERVING once a model is verified: its files are those that were published and compute
the answers of the training. `/healthz` is 200 while every worker is up and a version answers in each; else
it is 503 and says why in one line. While no version answers, `staunch_not_serving` is 1 for the cause.
Neither tells of the database, which all servers share, so that turning away from each would help nobody:

- While the database is away, `staunch_database_up` is 0: alert on that. It is asked whether or not there are
  calls, which end as UNAVAILABLE with `reason="DATABASE_UNAVAILABLE"` then.
  `staunch_pool_connection_failures_total` tells one that is away from one that refuses us, as after its
  password was changed.
- A view may fail because its tables do not fit it, from the start or since they were changed. Its calls end
  as FAILED_PRECONDITION with `reason="MODEL_REFUSED"`, and `staunch_model_info{{state="REFUSED"}}` is 1:
  alert on that too. GetModel says what is wrong and how to mend it. The other views are served. A view that
  fails is tried again with each call and every STAUNCH_STORE_POLL_S seconds, so it answers again by itself
  when its tables are mended; one that nobody calls is run every 10 s, to find out.
"""


class _FeatureWords(NamedTuple):
    """What the page of a view says around the view's own texts, in one language."""

    heading: str
    counted: str
    columns: Sequence[str]
    nulls: Mapping[str, str]
    decimal_point: str


_FEATURES = {
    "en": _FeatureWords(
        "Features of the view {view}",
        "{count} features, all float64. Generated from {file}; edit that file.",
        ("title", "feature", "unit", "meaning", "window", "null means", "can be", "read from"),
        {},
        ".",
    ),
    "fr": _FeatureWords(
        "Variables de la vue {view}",
        "{count} variables, toutes float64. Page produite à partir de {file}; modifiez ce fichier.",
        (
            "titre",
            "variable",
            "unité",
            "signification",
            "période",
            "sens du null",
            "valeurs possibles",
            "source",
        ),
        {NEVER: "jamais", MISSING: "manquant"},
        ",",
    ),
}

_ERRORS = f"""# Errors

{_MADE}

Every error of our services carries, in `grpc-status-details-bin`, a `google.rpc.Status` with exactly one
`google.rpc.ErrorInfo`: its `domain` is `{DOMAIN}`, its `reason` one of these. INVALID_ARGUMENT says which
fields in a `BadRequest`, but for MESSAGE_TOO_LARGE and MALFORMED_MESSAGE, which no field is to blame for.
NOT_FOUND, FAILED_PRECONDITION and ABORTED say what in a `ResourceInfo`, and UNAVAILABLE after which time to
try again in a `RetryInfo`. Errors of the rows and chunks of BatchPredict carry the same codes and reasons in
the answer. What the gRPC library itself answers (an unknown method, a message above 5 MiB) carries no
details. Trailing metadata holds `x-request-id`: the caller's, or one that we made; our log names it.

What a message tells beside its fixed words stands in the ErrorInfo's `metadata` as well, under the keys of
its reason: programs read these and no messages. All values are strings, cut to 240 bytes, or to 80 beside a
BadRequest; a key with "?" is there only where there is something to say. A BadRequest names fields by their
path as in the protos, `model` or `overrides["tenure_days"]`: the key of a map as JSON writes a string, cut
where it is longer than the name of a feature can be.
"""

_METADATA = """
## The keys of metadata
"""


def settings_page() -> str:
    """The page of every setting with its default."""
    return _SETTINGS + _table(("setting", "default", "what it is"), map(_setting, Settings.model_fields))


def metrics_page() -> str:
    """The page of every metric with its type and labels."""
    lines = [_metric(family, labels) for family, labels in metric_families()]
    return _METRICS + _table(("metric", "type", "labels", "what it is"), lines)


def metric_families() -> list[tuple[Metric, Sequence[str]]]:
    """Every family of a scrape, without series, and its labels."""
    makers = (Metrics(CollectorRegistry()), SupervisorMetrics(CollectorRegistry()))
    counted = [
        each for maker in makers for each in vars(maker).values() if isinstance(each, MetricWrapperBase)
    ]
    read = ProcessMetrics(dict).collect()
    return [
        *((family, each._labelnames) for each in counted for family in each.describe()),
        *((family, ("worker",)) for family in read),
    ]


def errors_page() -> str:
    """The page of every reason with its code, and of every key of its metadata."""
    reasons = _table(("reason", "code", "when", "metadata", "again after"), map(_reason, Reason))
    keys = [(f"`{key}`", meaning) for key, meaning in KEYS.items()]
    return _ERRORS + reasons + _METADATA + _table(("key", "its value"), keys)


def features_page(language: str = "en") -> str:
    """The page of the views that we ship: each with its features, in the order of their names."""
    names = sorted(file.stem for file in staunch_sql.FEATURES_FOLDER.glob("*.sql"))
    views = [load_view(name, [staunch_sql.FEATURES_FOLDER]) for name in names]
    return "\n".join(view_page(view.in_language(language)) for view in views)


def view_page(view: FeatureView) -> str:
    """Writes a view's documentation as a page of Markdown, in English or in French."""
    words = _FEATURES.get(view.language, _FEATURES["en"])
    rows = [
        (
            doc.title,
            f"`{name}`",
            doc.unit,
            " ".join((doc.description, *_labels(doc))),
            doc.window,
            words.nulls.get(doc.null, doc.null),
            _range(doc, words.decimal_point),
            sources(doc),
        )
        for name, doc in view.features.items()
    ]
    rules = "".join(f"- {rule}\n" for rule in (*who_is_eligible(view), *view.rules))
    counted = words.counted.format(count=len(rows), file=f"`{view.name}.sql`")
    return (
        f"# {words.heading.format(view=f'`{view.name}`')}\n\n{view.description}\n\n"
        + (f"{rules}\n" if rules else "")
        + f"{counted}\n"
        + _table(words.columns, rows)
    )


def _labels(doc: FeatureDoc) -> Iterable[str]:
    if doc.labels:
        yield f"({', '.join(f'{number:g} {label}' for number, label in doc.labels.items())})"


def _range(doc: FeatureDoc, decimal_point: str) -> str:
    low, high = doc.possible
    ends = ((math.isfinite(low), f"≥ {low:g}"), (math.isfinite(high), f"≤ {high:g}"))
    return ", ".join(text for is_bound, text in ends if is_bound).replace(".", decimal_point)


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "errors.md": errors_page,
    "features.md": features_page,
    "features.fr.md": partial(features_page, "fr"),
}
"""File names in docs/ and what they hold."""


def main(folder: str) -> None:
    """Writes the pages into the folder."""
    for name, page in PAGES.items():
        Path(folder, name).write_text(page(), encoding="utf-8")


def _setting(name: str) -> Sequence[str]:
    field = Settings.model_fields[name]
    value = "" if field.default in (None, PydanticUndefined) else f"`{field.default}`"
    return f"`{PREFIX}{name.upper()}`", value, field.description or ""


def _metric(family: Metric, labels: Iterable[str]) -> Sequence[str]:
    name = family.name + ("_total" if family.type == "counter" else "")
    return f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation


def _reason(reason: Reason) -> Sequence[str]:
    again = "" if reason.retry_after_s is None else f"{reason.retry_after_s:g} s"
    keys = [f"`{key}`" for key in reason.keys] + [f"`{key}`?" for key in reason.keys_at_times]
    return f"`{reason.name}`", reason.code.name, reason.meaning, ", ".join(keys), again


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main(sys.argv[1])
