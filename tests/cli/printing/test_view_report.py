"""What `staunch view check` prints of what it found."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.cli.printing.gym import VIEW

from staunch_cli.printing.view_report import view_report
from staunch_features.checks.execution import QueryPlan, Scan
from staunch_features.checks.findings import ColumnCheck, LabelCheck, Timing, ViewCheck
from staunch_features.checks.look_ahead import Probe
from staunch_features.checks.untried import Untried
from staunch_features.errors import ViewError
from staunch_features.views.types import FeatureColumn, ViewSignature

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
VISITS = FeatureColumn(name="visits", type="number", nullable=True, unit="visits", description="Visits.")
CHECK = ViewCheck(
    view=VIEW,
    signature=ViewSignature("int64", "id", True, (VISITS,), True, False, "sha256:0"),
    as_of=AS_OF,
    found=2000,
    eligible=1500,
    columns=(ColumnCheck(VISITS, 3, 12),),
    plan=QueryPlan(
        1000, (Scan("gym.visits", "Seq Scan", None, 1234, 0),) * 2, 5678, 0.1, 0.2, "THE WHOLE PLAN"
    ),
    timings=(Timing(1, 0.44), Timing(100, 2.0)),
    probes=(Probe("gym.visits", AS_OF, ()),),
    untried=(),
    not_probed=("gym.members",),
    label=None,
    errors=(),
    advice=("make an index",),
)


def lines(check: ViewCheck, *, plan: bool = False) -> list[str]:
    return view_report(check, plan=plan).splitlines()


def test_it_says_what_was_found_and_ends_with_the_verdict():
    printed = lines(CHECK)
    assert "key    bigint, column id" in printed
    assert "as of  2026-06-01T00:00:00Z" in printed
    assert "rows   2,000 found for the ids tried, 1,500 of them eligible" in printed
    assert "visits   Visits  visits  3 (25.0%)" in printed
    assert printed[-2:] == ["advice: make an index", "gym is good"]


def test_a_scan_is_named_once_with_how_long_each_number_of_ids_takes():
    printed = lines(CHECK)
    assert "reads, for 1,000 ids (5,678 blocks of 8 KiB)" in printed
    assert printed.count("  gym.visits: Seq Scan, 1,234 rows") == 1
    assert "       1 id:  0.4 ms" in printed
    assert "     100 ids: 2.0 ms" in printed


def test_the_whole_plan_is_shown_if_asked_for():
    assert "THE WHOLE PLAN" not in lines(CHECK)
    assert "THE WHOLE PLAN" in lines(CHECK, plan=True)


def test_a_feature_that_looks_ahead_stands_out_and_tables_not_tried_are_named():
    looks = replace(CHECK, probes=(Probe("gym.visits", AS_OF, ("visits",)),))
    assert "  gym.visits: visits CHANGED as of 2026-06-01 with all later rows hidden" in lines(looks)
    assert "  gym.visits: nothing changed as of 2026-06-01 with all later rows hidden" in lines(CHECK)
    assert "  not tried, for want of time_columns in the header: gym.members" in lines(CHECK)


def test_a_table_that_could_not_be_tried_is_named_with_what_to_do_and_leaves_a_doubt():
    through = Untried("gym.visits", "it is read through the view gym.v", "read gym.visits itself")
    printed = lines(replace(CHECK, untried=(through,)))
    assert "  gym.visits: not tried: it is read through the view gym.v; read gym.visits itself" in printed
    assert printed[-1] == "gym is good as far as it was tried"
    empty = Untried("gym.visits", "no rows of it were found")
    printed = lines(replace(CHECK, untried=(empty,)))
    assert "  gym.visits: not tried: no rows of it were found" in printed
    assert printed[-1] == "gym is good"


def test_a_view_without_an_as_of_time_has_nothing_to_look_ahead_from():
    undated = replace(CHECK, as_of=None, signature=replace(CHECK.signature, uses_as_of=False))
    assert "look-ahead" not in lines(undated)
    assert "as of  none: the view takes no as-of time" in lines(undated)


def test_a_label_says_for_how_many_it_is_known_and_true():
    label = LabelCheck(AS_OF, rows=1500, known=1000, true=125)
    known = "label  known for 1,000 of 1,500 rows as of 2026-06-01, true for 125, 12.5%"
    assert known in lines(replace(CHECK, label=label))
    assert "label  none yet: `staunch train` wants one in labels/" in lines(CHECK)


def test_errors_come_after_advice_and_make_the_verdict():
    wrong = replace(CHECK, errors=(ViewError("gym.sql", 3, "expected a, got b", "write a"),))
    printed = lines(wrong)
    assert printed[-2].startswith("error: gym.sql:3: expected a, got b")
    assert printed[-1] == "gym must be mended"
