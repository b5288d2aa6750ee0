"""`manage.py sale_watch`: show the dashboard's figures in the terminal."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dashboard.reading import Observer
from dashboard.snapshot import SaleFigures, Snapshot
from dashboard.templatetags.figures import ms, units
from flashsale.moments import format_time
from ops.base_command import OperatorCommand
from ops.lifecycle_command import find_sale, whole_number

_EVERY = 1.0  # seconds

_COLUMNS = (
    *("sale", "phase", "left", "in flight", "line", "oldest", "held", "confirmed", "clicks/s"),
    "gate",
)
_COLOURS = {"open": "green", "upcoming": "blue", "paused": "yellow", "ended": "dim", "draft": "dim"}


class Command(OperatorCommand):
    help = (
        "Shows the dashboard's figures every second: live on a terminal, else a line of text per sale,"
        " with --json a document per second. Ends with Ctrl-C (exit code 130)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", nargs="?", metavar="SLUG", help="one sale only")
        parser.add_argument(
            "--seconds",
            type=whole_number(1),
            metavar="S",
            help="end after so many seconds (default: never)",
        )

    def run(self, **options: Any) -> None:
        only = None if options["slug"] is None else find_sale(options["slug"]).pk
        on_terminal = self.stdout.isatty() and not self.as_json
        live = Live(console=Console(), auto_refresh=False, screen=True) if on_terminal else None
        with live or nullcontext():
            for snapshot in _take_snapshots(only, options["seconds"]):
                if live:
                    live.update(_draw(snapshot), refresh=True)
                else:
                    self.tell(_facts(snapshot), _format_lines(snapshot))
                    self.stdout.flush()


def _take_snapshots(only: int | None, seconds: int | None) -> Iterator[Snapshot]:
    """Take a snapshot per second, `seconds` times or for ever."""
    observer, due, taken = Observer(only), time.monotonic(), 0
    while True:
        yield observer.look()
        taken += 1
        if taken == seconds:
            return
        due = max(due + _EVERY, time.monotonic())
        time.sleep(due - time.monotonic() if due > time.monotonic() else 0)


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "at": snapshot.at,
        "clicks": snapshot.answers,
        "settled": snapshot.settled,
        "accept_ms": {"p50": snapshot.accept.p50, "p99": snapshot.accept.p99},
        "confirm_ms": {
            "p50": snapshot.confirm.p50,
            "p95": snapshot.confirm.p95,
            "p99": snapshot.confirm.p99,
        },
        "sockets": snapshot.sockets,
        "alive": {role: snapshot.alive(role) for role in ("web", "worker", "beat")},
        "alarms": [{"code": alarm.code, "words": alarm.words} for alarm in snapshot.alarms],
        "sales": [
            {
                "slug": figures.sale.slug,
                "phase": figures.phase,
                "left": figures.left,
                "in_flight": figures.in_flight,
                "waiting": figures.waiting,
                "oldest_ms": figures.oldest,
                "held": figures.sale.held,
                "confirmed": figures.sale.confirmed,
                "poison": figures.poison,
                "gate": figures.gate,
                "gate_version": figures.gate_version,
                "version": figures.sale.version,
                "clicks": figures.clicks,
                "clicks_in_all": figures.total,
            }
            for figures in snapshot.sales
        ],
    }


def _format_at(snapshot: Snapshot) -> str:
    """The time of day, in the time zone of the sales; in UTC if they have several."""
    zones = {figures.sale.time_zone for figures in snapshot.sales}
    return format_time(snapshot.at, zones.pop() if len(zones) == 1 else "UTC")


def _format_lines(snapshot: Snapshot) -> str:
    at = _format_at(snapshot)
    lines = [f"{at} ALARM {alarm.code}: {alarm.words}" for alarm in snapshot.alarms]
    for figures in snapshot.sales:
        named = zip(_COLUMNS[1:], _cells(figures)[1:], strict=True)
        values = ", ".join(f"{name} {value}" for name, value in named)
        lines.append(f"{at} {figures.sale.slug}: {values}")
    return "\n".join(lines or [f"{at} no sale"])


def _cells(figures: SaleFigures) -> list[str]:
    none = figures.gate == "none"
    versions = f" {units(figures.gate_version)} of {units(figures.sale.version)}"
    return [
        figures.sale.slug,
        figures.state,
        units(figures.left),
        units(figures.in_flight),
        units(0 if none else figures.waiting),
        ms(figures.oldest if figures.waiting else None),
        units(figures.sale.held),
        units(figures.sale.confirmed),
        units(figures.clicks.total()),
        figures.gate_words + ("" if none else versions),
    ]


def _draw(snapshot: Snapshot) -> Group:
    table = Table(*_COLUMNS, expand=True)
    for column in table.columns[2:-1]:
        column.justify = "right"
    table.columns[0].overflow = "fold"  # a long slug is shown as a whole
    for figures in snapshot.sales:
        table.add_row(*_cells(figures), style=_COLOURS[figures.phase])
    alive = ", ".join(f"{snapshot.alive(role)} {role}" for role in ("web", "worker", "beat"))
    clicks = ", ".join(f"{answer} {number}" for answer, number in snapshot.answers.items())
    return Group(
        Text(f"{_format_at(snapshot)}   {alive}   {snapshot.sockets} sockets", style="bold"),
        *(Text(f"{alarm.code}: {alarm.words}", style="bold red") for alarm in snapshot.alarms),
        table,
        Text(f"clicks per second: {clicks or 'none'}; settled {snapshot.settled}"),
        Text(
            f"click to confirmed p50 {ms(snapshot.confirm.p50)}, p95 {ms(snapshot.confirm.p95)},"
            f" p99 {ms(snapshot.confirm.p99)}; to accepted p50 {ms(snapshot.accept.p50)},"
            f" p99 {ms(snapshot.accept.p99)}"
        ),
        Text("Ctrl-C ends this view, not the sale.", style="dim"),
    )
