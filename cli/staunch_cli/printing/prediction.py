"""A score as text for people and as JSON for programs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from staunch_cli.printing import formatting

if TYPE_CHECKING:
    from staunch import Prediction


def headline(
    customer: int | str, prediction: "Prediction", overrides: Mapping[str, float | None]
) -> list[tuple[str, str]]:
    """Gives the facts about one score, for people; what was set by hand is one of them."""
    band = "" if prediction.risk_band == "unspecified" else f"  {prediction.risk_band} risk"
    return [
        ("customer", str(customer)),
        ("probability", f"{prediction.probability:.4f}{band}"),
        ("model", str(prediction.model)),
        ("as of", formatting.utc_time(prediction.as_of)),
        (
            "set by you",
            ", ".join(f"{name} = {formatting.number(value)}" for name, value in overrides.items()),
        ),
    ]


def as_json(
    customer: int | str, prediction: "Prediction", overrides: Mapping[str, float | None]
) -> dict[str, Any]:
    """Gives the facts about one score, for programs."""
    facts: dict[str, Any] = {
        "customer": customer,
        "probability": prediction.probability,
        "risk_band": str(prediction.risk_band),
        "model": str(prediction.model),
        "model_digest": prediction.model.digest,
        "as_of": formatting.utc_time(prediction.as_of) or None,
    }
    if overrides:
        facts["overrides"] = dict(overrides)
    return facts if prediction.features is None else {**facts, "features": prediction.features}
