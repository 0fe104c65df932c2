"""The load by ghz: its lists, its profiles, and what is read from its reports."""

import json
import math
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bench.ghz import __main__ as ghz
from bench.ghz import figures, lists, page
from google.protobuf import json_format
from tests.architecture.rooms import ROOT

from staunch.v1 import prediction_service_pb2 as messages

REQUESTS = {
    "Predict": messages.PredictRequest,
    "Explain": messages.ExplainRequest,
    "BatchPredict": messages.BatchPredictRequest,
}
CUSTOMERS = [str(one) for one in range(1, 5_001)]


def report(latencies_ms: Sequence[float], *, every_s: float, bad: int = 0, **options: Any) -> dict[str, Any]:
    """A report as ghz writes it, of calls sent evenly; the last `bad` of them over their deadline."""
    details = []
    for index, latency_ms in enumerate(latencies_ms):
        nanoseconds = round((index * every_s + latency_ms / 1e3) * 1e9)
        seconds, rest = divmod(nanoseconds, 10**9)
        status = "DeadlineExceeded" if index >= len(latencies_ms) - bad else "OK"
        details.append(
            {
                # Go cuts the zeros at the end.
                "timestamp": f"2026-11-29T10:{seconds // 60:02}:{seconds % 60:02}.{rest:09}".rstrip("0")
                + "1Z",
                "latency": round(latency_ms * 1e6),
                "status": status,
            }
        )
    # Reports come in the order of the answers.
    return {"details": details[::-1], "options": {"load-schedule": "const", **options}}


@pytest.mark.parametrize("file", ghz.profiles(), ids=lambda file: file.stem)
def test_a_profile_names_a_method_a_list_and_an_end(file: Path, tmp_path: Path) -> None:
    body = json.loads(file.read_text())
    lists.write(tmp_path, CUSTOMERS)
    service, method = body["call"].split("/")
    data = Path(body["data-file"])
    assert service == "staunch.v1.PredictionService"
    assert data.parent == ghz.LISTS
    for request in json.loads((tmp_path / data.name).read_text()):
        json_format.ParseDict(request, REQUESTS[method]())
    assert (ROOT / body["proto"]).is_file()
    # It ends by itself, waits for the calls under way, and none of them waits for ever.
    assert int(body["duration"].removesuffix("s")) <= 60
    assert body["duration-stop"] == "wait"
    assert body["timeout"]
    assert body["connections"] > 1


def test_the_profiles_cover_each_method_in_both_loops_steps_many_connections_and_skew() -> None:
    names = {file.stem for file in ghz.profiles()}
    assert names == {
        *(f"{method}-{loop}" for method in ("predict", "explain", "batch") for loop in ("closed", "open")),
        *("predict-steps", "predict-connections", "predict-zipf"),
    }
    for name in names:
        body = json.loads(ghz.profile(name).read_text())
        assert body.get("async", False) is name.endswith(("-open", "-steps")), name


def test_the_page_names_every_profile() -> None:
    text = (ROOT / "docs/load-testing.md").read_text()
    assert [file.stem for file in ghz.profiles() if f"`{file.stem}`" not in text] == []


def test_the_lists_hold_the_eligible_each_once_and_by_zipf(tmp_path: Path) -> None:
    lists.write(tmp_path, CUSTOMERS)
    one = [each["customerId"] for each in json.loads((tmp_path / "one.json").read_text())]
    chunks = [each["customerIds"] for each in json.loads((tmp_path / "chunks.json").read_text())]
    drawn = Counter(each["customerId"] for each in json.loads((tmp_path / "zipf.json").read_text()))
    assert sorted(one) == sorted(CUSTOMERS)
    assert one != CUSTOMERS
    assert [len(each) for each in chunks] == [2_000, 2_000, 1_000]
    assert sorted(one for each in chunks for one in each) == sorted(CUSTOMERS)
    assert (tmp_path / "eligible.txt").read_text().split() == CUSTOMERS
    # The first of 5,000 by Zipf's law is one call in 9.1.
    assert drawn[one[0]] / drawn.total() == pytest.approx(0.11, abs=0.02)
    assert drawn[one[0]] / drawn[one[1]] == pytest.approx(2, rel=0.15)


def test_two_runs_ask_alike(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lists.write(tmp_path / name, CUSTOMERS)
    assert (tmp_path / "a/zipf.json").read_text() == (tmp_path / "b/zipf.json").read_text()
    assert lists.zipf(CUSTOMERS, 5, random.Random(1)) == lists.zipf(CUSTOMERS, 5, random.Random(1))


def test_keys_are_asked_for_as_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("ACME-1\n\n 7 \n")
    keys = lists.candidates(file, 10)
    lists.write(tmp_path, keys)
    assert keys == ["ACME-1", "7"]
    assert sorted(each["customerKey"] for each in json.loads((tmp_path / "one.json").read_text())) == [
        "7",
        "ACME-1",
    ]
    assert lists.candidates(None, 3) == ["1", "2", "3"]


def test_percentiles_are_of_the_answered_and_errors_are_counted_by_code() -> None:
    latencies = [float(one) for one in range(1, 1_001)] + [5_000.0] * 10
    of = figures.whole(report(latencies, every_s=0.01, bad=10))
    assert [of.percentile(each) for each in figures.PERCENTILES] == [500, 900, 990, 999]
    assert of.errors == {"DEADLINE_EXCEEDED": 10}
    assert of.offered is None


def test_codes_are_spelled_as_grpc_does() -> None:
    spelled = ["OK", "Unavailable", "ResourceExhausted", "Canceled", ""]
    assert [figures.code(each) for each in spelled] == [
        "OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED", "WITHOUT_CODE",
    ]  # fmt: skip


def test_a_generator_that_comes_late_is_told_from_a_server_that_does() -> None:
    slow = figures.whole(report([1.0] * 500, every_s=0.02, rps=100, duration=10 * 10**9))
    assert (slow.offered, round(slow.sent), slow.generator_late) == (100, 50, True)
    fast = figures.whole(report([9_000.0] * 1_000, every_s=0.01, rps=100, duration=10 * 10**9, bad=900))
    assert (round(fast.sent), fast.generator_late, fast.held) == (100, False, False)


def test_the_knee_is_the_last_step_before_one_that_was_not_held() -> None:
    options = {"load-schedule": "step", "load-start": 10, "load-step": 10, "load-end": 30}
    held, late = [figures.Call(0, 1, "OK")] * 20, [figures.Call(0, 1, "OK")] * 40
    steps = [
        figures.figures(each, 1, offered)
        for each, offered in ((held, 10), (held, 20), (held, 30), (late, 40))
    ]
    assert figures.knee(steps) == 20
    assert figures.knee(steps[2:]) is None
    calls = report([1.0] * 10, every_s=0.1)["details"]
    found = figures.steps({"details": calls, "options": {**options, "load-step-duration": 10**9}})
    assert [(step.offered, step.sent) for step in found] == [(10, 10), (20, 0), (30, 0)]
    assert figures.steps(report([1.0], every_s=1)) == []


def test_a_run_without_an_answer_is_a_line_too(tmp_path: Path) -> None:
    whole = figures.whole(report([1.0] * 3, every_s=0.1, bad=3))
    runs = [page.Run("predict-closed", {"connections": 8, "concurrency": 64}, whole, ())]
    assert math.isnan(whole.percentile(50))
    assert page.table(runs)[-1].endswith("| 0.0 |  |  |  |  | 3 DEADLINE_EXCEEDED |")
    page.draw(runs, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict-opn"], "no profile predict-opn: name one of batch-closed, "),
        (["--server", "127.0.0.1:9"], "no answer from 127.0.0.1:9: UNAVAILABLE: "),
        (["--ids", "/nowhere"], "No such file or directory: '/nowhere'"),
        (["--ids", "/dev/null"], "none of the 0 customers asked for has a score"),
    ],
)
def test_what_the_caller_can_set_right_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ghz.main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("make ghz: ")
    assert message in printed
    assert printed.count("\n") == 1


def test_without_go_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/ghz", tmp_path / "scripts/ghz")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dirname").symlink_to(shutil.which("dirname") or "")

    def script(**environment: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            ["/bin/sh", "scripts/ghz"],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    code, printed, error = script()
    assert (code, printed, error.count("\n")) == (1, "", 1)
    assert "install Go (https://go.dev/dl), or name a ghz v" in error
    assert script(GHZ="/nowhere/ghz") == (1, "", "staunch: GHZ names no program: /nowhere/ghz\n")
    assert script(GHZ="/bin/sh") == (0, "/bin/sh\n", "")
