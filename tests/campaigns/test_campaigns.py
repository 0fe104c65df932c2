"""A short form of `make faults`, `make fuzz` and `make soak`, and what they find if something is wrong."""

import numpy as np
import pytest
from tests.campaigns.__main__ import missed, tried
from tests.campaigns.callers import Outcome, calling
from tests.campaigns.faults import FAULTS
from tests.campaigns.fuzz import fuzz
from tests.campaigns.soak import LIMITS, Sample, samples, slopes
from tests.campaigns.target import started
from tests.server.harness.shell import TRANSPORTS

SHORT = {
    "all sessions of the database are ended once": 0.1,
    "callers cancel their calls": 0.5,
    "forty watchers of health do not read": 0.1,
}
"""Faults that are over soon."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("transport_name", sorted(TRANSPORTS))
async def test_a_server_holds(transport_name: str) -> None:
    async with started(transport_name) as target:
        async with calling(target.address, target.oracle, callers=4) as record:
            for name, lasts_s in SHORT.items():
                verdict = await tried(name, target, record, lasts_s)
                assert verdict.missed == (), name
        assert await fuzz(target, messages_each=8, connections=60, number=1) == []
        used = {sample.process: sample.uses for sample in samples(target)}
    assert used["workers"]["tasks"] > 0
    assert used["worker 0"].keys() == used["supervisor"].keys() == LIMITS.keys() - {"tasks"}


def test_there_are_thirty_faults_and_more_on_each_transport() -> None:
    for transport in ("aio", "native"):
        assert sum(transport not in fault.open_on for fault in FAULTS.values()) >= 30


OK = Outcome("Predict", "OK", "", 0.0, 1.0)
AWAY = Outcome("Predict", "UNAVAILABLE", "DATABASE_UNAVAILABLE", 0.0, 1.0)
REFUSED = Outcome("Predict", "FAILED_PRECONDITION", "MODEL_REFUSED", 0.0, 1.0)
WRONG = Outcome("Predict", "OK", "", 0.0, 1.0, ("0.5, expected 0.6",))

HARMLESS, HARMFUL = "rows come and go beside those that are asked for", "PostgreSQL hangs as a whole"
REFUSING = "a column of the view has another name for a while"


@pytest.mark.parametrize(
    ("fault", "outcomes", "expected"),
    [
        (HARMLESS, [OK], []),
        (HARMFUL, [OK, AWAY], []),
        (REFUSING, [OK, AWAY, REFUSED], []),
        (HARMLESS, [OK, AWAY], ["UNAVAILABLE DATABASE_UNAVAILABLE"]),
        (HARMFUL, [OK, REFUSED], ["FAILED_PRECONDITION MODEL_REFUSED"]),
        (HARMFUL, [OK, WRONG], ["1 wrong, such as 0.5, expected 0.6"]),
        (HARMFUL, [AWAY], ["no answer at all"]),
        (HARMFUL, [OK, Outcome("Predict", "INTERNAL", "INTERNAL", 0.0, 1.0)], ["INTERNAL INTERNAL"]),
        (HARMFUL, [OK, Outcome("Predict", "UNANSWERED", "", 0.0, 1.0)], ["UNANSWERED "]),
    ],
)
def test_what_does_not_hold_is_missed(fault: str, outcomes: list[Outcome], expected: list[str]) -> None:
    assert list(missed(FAULTS[fault], outcomes)) == expected


def readings(per_hour: float, noise: float) -> list[Sample]:
    """Ten minutes of a process whose memory grows so much an hour, beside pages that come and go."""
    random = np.random.default_rng(1)
    moments = np.arange(0, 600, 2.0)
    memory = 100 + per_hour * moments / 3600 + noise * random.standard_normal(len(moments))
    return [Sample("worker 0", at, {"memory_mib": value}) for at, value in zip(moments, memory, strict=True)]


@pytest.mark.parametrize(
    ("per_hour", "noise", "leaks"),
    [(0.0, 0.2, False), (6.0, 0.2, True), (0.0, 5.0, False), (-9.0, 0.2, False)],
)
def test_what_grows_beyond_noise_is_a_leak(per_hour: float, noise: float, leaks: bool) -> None:
    (slope,) = slopes(readings(per_hour, noise))
    assert slope.leaks == leaks
    assert abs(slope.per_hour - per_hour) <= 4 * slope.error
