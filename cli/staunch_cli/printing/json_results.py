"""What commands print for programs: one JSON document each, with the keys of docs/command.md.

Scores and explanations have theirs in `prediction` and `explanation`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from staunch_cli.printing import formatting

if TYPE_CHECKING:
    from staunch import AliasMove, Model
    from staunch_features.checks.distribution.feature_summary import FeatureSummary
    from staunch_features.checks.findings import ViewCheck
    from staunch_features.checks.summary import ViewSummary
    from staunch_features.drafts.draft import Drafted
    from staunch_training.train import TrainReport


def print_json(document: Mapping[str, Any]) -> None:
    """Prints one JSON object on a line of its own; what JSON has no number for is null."""
    print(json.dumps(plain(document), allow_nan=False))


def plain(value: Any) -> Any:
    """Returns a value as JSON has it: data classes as objects, moments in UTC, enums and files as text."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return formatting.utc_time(value)
    return None if isinstance(value, float) and not math.isfinite(value) else _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum | Path):
        return str(value)
    return value.item() if hasattr(value, "item") else value  # of NumPy


def model_json(model: "Model") -> dict[str, Any]:
    """Returns a version: the attributes of the client's `Model` that are filled."""
    facts = {field.name: getattr(model, field.name) for field in fields(model)}
    reference, manifest = facts.pop("reference"), facts.pop("manifest_json")
    for name in ("features", "metrics", "language", "eligible", "eligible_translations"):
        if not manifest:  # only one version in full has these
            facts.pop(name)
    shown = {"model": str(reference), "model_digest": reference.digest} | facts
    return shown | ({"manifest": json.loads(manifest)} if manifest else {})


def alias_json(name: str, alias: str, moved: "AliasMove") -> dict[str, Any]:
    """Returns where an alias points now, and where it pointed before."""
    return {
        "alias": f"{name}@{alias}",
        "model": str(moved.model.reference),
        "model_digest": moved.model.reference.digest,
        "previous_version": moved.previous_version,
    }


def training_json(report: "TrainReport") -> dict[str, Any]:
    """Returns what was trained and published, on which dates and rows, and how good it is."""
    manifest = report.stored.manifest
    return {
        "model": f"{manifest.name}@{manifest.version}",
        "alias": report.alias,
        "seconds": report.seconds,
        "learner": manifest.training.learner,
        "validation_losses": report.validation_losses,
        "splits": manifest.training.splits,
        "metrics": manifest.metrics,
        "compared": manifest.compared,
        "feature_aucs": report.feature_aucs,
    }


def check_json(check: "ViewCheck") -> dict[str, Any]:
    """Returns what `staunch view check` found; `good` says whether nothing must be mended."""
    columns = [
        {"feature": each.column.name, "unit": each.column.unit, "nulls": each.nulls, "rows": each.rows}
        for each in check.columns
    ]
    # Key by key, and not the fields of `ViewCheck`: those may change, what is promised may not.
    return {
        "view": check.view.name,
        "file": check.view.file,
        "good": not check.errors,
        "id_type": check.signature.id_type,
        "as_of": check.as_of,
        "found": check.found,
        "eligible": check.eligible,
        "label": check.label,
        "features": columns,
        "scans": [
            {"table": scan.table, "kind": scan.kind, "index": scan.index, "rows": scan.rows}
            for scan in check.plan.scans
        ],
        "timings": check.timings,
        "look_ahead": check.probes,
        "not_tried": [{"what": each.what, "why": each.why, "hint": each.hint} for each in check.untried],
        "without_time_columns": check.not_probed,
        "advice": check.advice,
        "errors": [
            {"file": each.file, "line": each.line, "message": each.message, "hint": each.hint}
            for each in check.errors
        ],
    }


def summary_json(summary: "ViewSummary") -> dict[str, Any]:
    """Returns how each feature is spread, and how the label goes with it."""
    return {
        "view": summary.view.name,
        "as_of": summary.as_of,
        "rows": summary.rows,
        "label_share": summary.label_share,
        "features": [_spread(feature) for feature in summary.features],
    }


def _spread(feature: "FeatureSummary") -> dict[str, Any]:
    return {
        "feature": feature.column.name,
        "unit": feature.column.unit,
        "description": feature.doc.description,
        "nulls": feature.nulls,
        "quantiles": feature.quantiles,
        "limits": feature.limits,
        "spread": feature.spread,
        "trend": feature.trend,
        "centres": feature.centres,
        "sizes": feature.sizes,
        "null_trend": feature.null_trend,
    }


def draft_json(drafted: "Drafted", files: Sequence[Path]) -> dict[str, Any]:
    """Returns what `staunch view new` chose and wrote."""
    draft = drafted.draft
    return {
        "view": drafted.name,
        "files": files,
        "table": draft.relation.sql,
        "rows": draft.key.rows,
        "key": draft.key.column.name,
        "label": draft.answer.words,
        "known": drafted.known,
        "true": drafted.true,
        "time": draft.clock.time.name if draft.clock.time else None,
        "features": len(draft.features),
        "left_out": dict(draft.left_out),
    }
