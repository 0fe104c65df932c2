"""`staunch top`: what a server does just now, live in the terminal."""

import time
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from staunch_cli.printing.json_results import print_json
from staunch_cli.shared.arguments import Handler, add_json, seconds
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.settings_arguments import SettingsArguments, add_settings
from staunch_cli.top.figures import Figures, figures_of
from staunch_cli.top.page import page
from staunch_cli.top.readings import Interval, NoMetrics, Reading, read_metrics
from staunch_cli.top.screen import has_screen, show

_FIRST_PAGE_S = 1.0  # nobody looks at an empty screen for longer


@dataclass(frozen=True)
class TopArguments(SettingsArguments):
    """Which server to look at, and how.

    Attributes:
        every_s: Seconds from one reading to the next.
        once: Whether to print one page and end.
        json: Whether to print one JSON object and end.
    """

    every_s: float
    once: bool
    json: bool


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch top`."""
    parser = subparsers.add_parser(
        "top",
        description="Shows what a server does just now, by its /metrics: rates, latency by stage, sizes of "
        "queries, versions, errors and processes. It ends with q or Ctrl-C; without a terminal it prints a "
        "page each time.",
    )
    parser.add_argument(
        "--every",
        dest="every_s",
        type=seconds,
        default=2.0,
        metavar="S",
        help="seconds from one reading to the next (default: 2)",
    )
    parser.add_argument("--once", action="store_true", help="print one page and end")
    add_json(parser)
    add_settings(parser, "metrics_host", "metrics_port")
    parser.set_defaults(handler=Handler(TopArguments, run))


def run(arguments: TopArguments) -> int:
    """Shows pages until somebody has seen enough."""
    source = _source(arguments)
    source.begin()
    try:
        if arguments.json or arguments.once:
            _print_once(source, arguments)
        elif has_screen():
            show(source.lines, source.pause_s)
        else:
            _print_on_and_on(source)
    except KeyboardInterrupt:  # the way to end it, and no failure
        pass
    return 0


def _source(arguments: TopArguments) -> "_Source":
    from staunch_cli.printing.how_to_call import call_address

    settings = arguments.load_settings(makes_views=True)  # of any server, with views or without
    return _Source(call_address(settings.metrics_host, settings.metrics_port), arguments.every_s)


class _Source:
    """Makes pages of a server that may go away and come back.

    Args:
        server: Where its metrics are, host and port.
        every_s: Seconds from one reading to the next.
    """

    def __init__(self, server: str, every_s: float) -> None:
        self.server, self._every_s = server, every_s
        self._last: Reading | None = None
        self._pages = 0

    def begin(self) -> None:
        """Takes the first reading; raises CommandError if there is nothing to read."""
        try:
            self._last = read_metrics(self.server)
        except NoMetrics as problem:
            raise CommandError(
                f"no metrics at {self.server}: {problem}. A server's start says where its metrics are; name "
                "that by --metrics-host and --metrics-port"
            ) from None

    def figures(self) -> Figures | None:
        """Reads once more, and returns what happened since the reading before; None if there was none.

        Raises:
            NoMetrics: The server does not answer; the next reading begins anew.
        """
        before, self._last = self._last, None
        self._last = read_metrics(self.server)
        return figures_of(Interval(before, self._last)) if before else None

    def lines(self) -> Sequence[str]:
        """Returns the next page; one that says what is wrong while the server is away."""
        self._pages += 1
        if self._pages == 1:
            return [f"Staunch at {self.server}", "  looking …"]
        try:
            figures = self.figures()
        except NoMetrics as problem:
            return [f"Staunch at {self.server}", f"  no metrics: {problem}"]
        if figures is None:
            return [f"Staunch at {self.server}", "  it is back, looking …"]
        return page(figures, self.server)

    def pause_s(self) -> float:
        """Returns the seconds that the page just made shall stay."""
        return min(_FIRST_PAGE_S, self._every_s) if self._pages == 1 else self._every_s

    def pages(self) -> Iterator[Sequence[str]]:
        """Yields one page after another, each after its time."""
        self.lines()
        while True:
            time.sleep(self.pause_s())
            yield self.lines()


def _print_once(source: _Source, arguments: TopArguments) -> None:
    time.sleep(arguments.every_s)
    try:
        figures = source.figures()
    except NoMetrics as problem:
        raise CommandError(f"the server left while it was looked at: {problem}") from None
    assert figures is not None  # `begin` has read
    if arguments.json:
        print_json({field.name: getattr(figures, field.name) for field in fields(figures)})
    else:
        print("\n".join(page(figures, source.server)))


def _print_on_and_on(source: _Source) -> None:
    for lines in source.pages():
        print("\n".join(lines), end="\n\n", flush=True)
