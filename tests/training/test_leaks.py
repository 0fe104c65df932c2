import numpy as np
import pytest

from staunch_training.errors import LeakFound
from staunch_training.leaks import feature_aucs, refuse_leaks

NAMES = ("tenure_days", "leak", "noise", "cancelled_days_ago", "empty")


def _world(seed: int, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Tenure is honest and strong; one feature copies the answer, one is null unless the customer left."""
    rng = np.random.default_rng(seed)
    tenure = rng.exponential(700, rows)
    labels = (rng.random(rows) < 0.35 * np.exp(-tenure / 400)).astype(np.float64)
    leak = -labels + rng.normal(0, 0.4, rows)
    cancelled = np.where(labels > 0, rng.uniform(0, 90, rows), np.nan)
    values = np.column_stack([tenure, leak, rng.normal(size=rows), cancelled, np.full(rows, np.nan)])
    return values, labels


def _aucs() -> dict[str, float]:
    return feature_aucs(NAMES, *_world(1), *_world(2))


def test_a_planted_leak_is_caught_by_name_and_tenure_is_not() -> None:
    with pytest.raises(LeakFound, match="leak") as caught:
        refuse_leaks(_aucs(), {}, limit=0.90)
    assert set(caught.value.features) == {"leak", "cancelled_days_ago"}


def test_tenure_is_strong_and_still_honest() -> None:
    assert 0.70 < _aucs()["tenure_days"] < 0.90


def test_a_leak_that_shows_only_in_its_nulls_is_caught() -> None:
    assert _aucs()["cancelled_days_ago"] > 0.99


def test_an_allowed_leak_passes_and_others_do_not() -> None:
    with pytest.raises(LeakFound) as caught:
        refuse_leaks(_aucs(), {}, limit=0.90, allowed={"leak"})
    assert list(caught.value.features) == ["cancelled_days_ago"]
    refuse_leaks(_aucs(), {}, limit=0.90, allowed={"leak", "cancelled_days_ago"})


def test_the_limit_is_a_setting() -> None:
    with pytest.raises(LeakFound, match="tenure_days"):
        refuse_leaks({"tenure_days": 0.75}, {}, limit=0.75)
    refuse_leaks({"tenure_days": 0.75}, {}, limit=0.76)


def test_a_leak_is_called_by_its_title_and_by_the_name_that_allows_it() -> None:
    titles = {"tenure_days": "Tenure (tenure_days)"}
    with pytest.raises(LeakFound, match=r"got Tenure \(tenure_days\), AUC 0.750; noise, AUC 0.740\. Such"):
        refuse_leaks({"tenure_days": 0.75, "noise": 0.74}, titles, limit=0.7)


def test_a_feature_without_a_value_tells_nothing() -> None:
    assert _aucs()["empty"] == 0.5
    assert _aucs()["noise"] == pytest.approx(0.5, abs=0.07)
