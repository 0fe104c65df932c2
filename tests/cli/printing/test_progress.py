"""What a long step prints while it goes on."""

import io
import threading

import pytest
from tests.harness.waiting import wait

from staunch_cli.printing.progress import MARGIN, ProgressLine, print_step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("stream", "printed"),
    [
        (Terminal(), "\r news|\n reading   0%|\r reading  50%|\r reading 100%|\n more news|\n"),
        (io.StringIO(), " news\n| reading\n| more news\n|"),
    ],
)
def test_a_stage_moves_on_a_terminal_and_news_have_no_percentage(stream, printed):
    progress = ProgressLine(stream)
    for stage, done in (
        ("news", 1.0),
        ("reading", 0.0),
        ("reading", 0.5),
        ("reading", 1.0),
        ("more news", 1.0),
    ):
        progress(stage, done)
    progress.close()
    assert stream.getvalue().replace(" " * 10, " ") == printed.replace("|", "")


@pytest.mark.parametrize(
    ("stream", "printed"),
    [
        (Terminal(), "\r scoring 0|\r scoring 1,500|\r scoring 12,345|\n"),
        (io.StringIO(), " scoring\n"),
    ],
)
def test_where_nobody_knows_how_many_there_are_the_done_are_counted(stream, printed):
    progress = ProgressLine(stream)
    for number in (0, 1500, 12345):
        progress.count("scoring", number)
    progress.close()
    assert stream.getvalue().replace(" " * 10, " ") == printed.replace("|", "")


def test_a_step_has_a_title_as_wide_as_the_margin(capsys):
    print_step("database", "starts")
    print_step("", "goes on")
    assert capsys.readouterr().out == f"database  starts\n{MARGIN}goes on\n"


def test_where_no_line_can_move_a_long_stage_is_shown_every_ten_seconds():
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine(stream, clock)
    for second in range(0, 50, 5):
        clock.now = second
        progress("reading", second / 50)
    assert stream.getvalue().split() == [
        "reading",
        "reading",
        "20%",
        "reading",
        "40%",
        "reading",
        "60%",
        "reading",
        "80%",
    ]


def test_a_stage_that_reports_nothing_is_said_to_go_on_every_ten_seconds():
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine(stream, clock)
    progress("fitting xgboost", 0.5)
    for second in range(1, 42):
        clock.now = second
        progress.beat()
    progress.close()
    fitting = f"{MARGIN}still fitting xgboost  50%,"
    assert stream.getvalue().splitlines() == [
        f"{MARGIN}fitting xgboost",
        *(f"{fitting} {seconds} s" for seconds in (10, 20, 30, 40)),
    ]


def test_on_a_terminal_a_silent_stage_counts_its_seconds_and_leaves_nothing_of_them():
    stream, clock = Terminal(), Clock()
    progress = ProgressLine(stream, clock)
    progress("fitting", 0.0)
    clock.now = 12
    progress.beat()
    progress("fitting", 1.0)
    progress.close()
    shown = stream.getvalue().replace(MARGIN, "")
    assert shown == "\rfitting   0%\rfitting   0%, 12 s\rfitting 100%      \n"


def test_after_news_and_before_the_next_stage_work_goes_on():
    stream, clock = io.StringIO(), Clock()
    progress = ProgressLine(stream, clock)
    progress.beat()
    progress("advice: an index would help", 1.0)
    clock.now = 30
    progress.beat()
    progress.close()
    assert stream.getvalue().splitlines()[1:] == [f"{MARGIN}still at work, 30 s"]


def test_it_says_so_by_itself_while_the_work_holds_its_thread(monkeypatch):
    monkeypatch.setattr("staunch_cli.printing.progress._SILENT_S", 0.0)
    monkeypatch.setattr("staunch_cli.printing.progress._STILL_S", 0.01)
    stream, before = io.StringIO(), threading.active_count()
    progress = ProgressLine(stream)
    progress("fitting", 0.0)
    wait(lambda: "still fitting" in stream.getvalue(), 10)
    progress.close()
    assert threading.active_count() == before


def test_on_a_terminal_news_stand_and_the_work_after_them_moves_on_a_line_that_the_next_stage_takes():
    stream, clock = Terminal(), Clock()
    progress = ProgressLine(stream, clock)
    progress("test: as of 2026-08-01", 1.0)
    for clock.now in (2, 3):
        progress.beat()
    progress("reading", 0.5)
    progress("more news", 1.0)
    progress.close()
    shown = stream.getvalue().replace(MARGIN, "")
    assert shown == "\rtest: as of 2026-08-01\nat work, 2 s\rat work, 3 s\rreading  50%\nmore news\n"


def test_a_line_that_moves_is_never_wider_than_the_terminal_and_news_are_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream, clock = Terminal(), Clock()
    progress = ProgressLine(stream, clock)
    progress("news " * 20, 1.0)
    progress("a stage with a name that is long", 0.5)
    clock.now = 5
    progress.beat()
    progress.close()
    news, *moving = stream.getvalue().strip("\r\n").replace("\r", "\n").split("\n")
    assert news == f"{MARGIN}{'news ' * 20}"
    assert [len(line) for line in moving] == [39, 39]
