"""Measures models of the shipped sizes: predicting and explaining by ONNX beside the native libraries.

    OMP_NUM_THREADS=1 .venv/bin/python bench/models.py      # writes bench/results/models.md

One thread, invented rows (57 features, a twentieth of the values missing). The peers stand in the same run:
scikit-learn's or XGBoost's own prediction, and shap's C code.
"""

import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from staunch_model_store.runtime import open_session
from staunch_training.learners import LEARNERS, LearnerName, fit
from staunch_training.onnx import explainer as onnx_explainer
from staunch_training.onnx import model as onnx_model

RESULTS = Path(__file__).parent / "results"
ROWS, FEATURES, SEED = 20_000, 57, 1


def invented() -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, features) with missing values, and labels that depend on some of them."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=(ROWS, FEATURES))
    score = values[:, 0] + values[:, 1] * values[:, 2] - 2.5 + rng.logistic(size=ROWS)
    values[rng.random(values.shape) < 0.05] = np.nan
    return values, (score > 0).astype(np.float64)


def ms(work: Callable[[], object], repeats: int) -> float:
    """The median time of some work, in ms."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def measure(name: LearnerName, values: np.ndarray, labels: np.ndarray) -> list[tuple[str, str]]:
    """One learner's rows of (what, figure)."""
    learned = fit(name, values, labels, seed=SEED)
    model = onnx_model.export(learned.trees, learned.space)
    explainer = onnx_explainer.export(learned.trees)
    predict, explain = open_session(model), open_session(explainer)
    rows = [
        ("files", f"model.onnx {len(model) / 1e3:,.0f} kB, explainer.onnx {len(explainer) / 1e3:,.0f} kB")
    ]
    for count in (1, 32, 10_000):
        some = values[:count]
        repeats = 200 if count < 1000 else 5
        ours = ms(partial(predict.run, None, {"features": some}), repeats)
        native = ms(partial(learned.outputs, some), min(repeats, 30))
        rows.append((f"predict {count:,} rows", f"{ours:.3f} ms (native library {native:.2f} ms)"))
    for count in (1, 8, 1_000):
        some = values[:count]
        ours = ms(partial(explain.run, None, {"features": some}), 100 if count < 100 else 3) / count
        native = ms(partial(learned.contributions, some), 10 if count < 100 else 2) / count
        figure = f"{ours:.3f} ms a row (shap with its set-up {native:.2f} ms a row)"
        rows.append((f"explain {count:,} rows at once", figure))
    worst = np.abs(
        explain.run(None, {"features": values[:1000]})[0] - learned.contributions(values[:1000])
    ).max()
    rows.append(("largest difference from shap over 1,000 rows", f"{worst:.1e}"))
    return [(f"{name}: {what}", figure) for what, figure in rows]


def main() -> None:
    """Measures, prints, and writes the table."""
    # shap imports matplotlib, which remembers fonts, as fontconfig does that it asks: here, not in a home.
    caches = Path(".staunch").resolve() / "caches"
    os.environ |= {"MPLCONFIGDIR": str(caches / "matplotlib"), "XDG_CACHE_HOME": str(caches)}
    values, labels = invented()
    rows = [row for name in LEARNERS for row in measure(name, values, labels)]
    head = f"Measured {datetime.now(UTC):%Y-%m-%d} by `bench/models.py`, one thread."
    lines = ["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    text = "\n".join(["# Models", "", head, "", *lines, ""])
    print(text)
    (RESULTS / "models.md").write_text(text)


if __name__ == "__main__":
    main()
