"""Checks that latencies, memory and connections do not grow from a day's first sale to its last."""

import math
import statistics
from collections.abc import Iterable, Mapping

from bench.processor import ROLES
from ops.base_command import aligned

Point = dict[str, float]
LATENCIES = tuple(
    f"{what} {share}" for what in ("click", "page", "confirmed") for share in ("p50", "p99")
)
ORDER_LIST = "staff's list of orders"
BY_SOCKET = "outcomes heard by socket, of 100"
ANSWERED = ("clicks a second", "pages a second", BY_SOCKET)
HOLDERS = tuple(ROLES)  # of memory
CONNECTIONS = ("PostgreSQL connections", "Valkey connections", "web file descriptors")
# The greatest allowed ratio of the last third of the sales to the first. PostgreSQL's is higher: the pool
# of each process fills by chance, up to DATABASE_POOL, and each backend takes memory.
MOST = (
    dict.fromkeys((*LATENCIES, ORDER_LIST), 1.5)  # the machine may have other work
    | dict.fromkeys(HOLDERS, 1.1)
    | dict.fromkeys(CONNECTIONS, 1.1)
    | dict.fromkeys(("PostgreSQL", "PostgreSQL connections"), 1.5)
)
# The least allowed ratio.
LEAST = dict.fromkeys(ANSWERED, 0.9)


def growth(points: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the ratio of each figure's medians: last third of the sales to first third. The first sale is
    left out, since caches fill in it. Infinite if the first median is 0: the figure was not measured."""
    first, last = _thirds(points)
    return {name: _ratio(_median(last, name), _median(first, name)) for name in (*MOST, *LEAST)}


def find_unsteady(points: Iterable[Mapping[str, float]]) -> list[str]:
    """Name the figures whose ratio is above MOST or below LEAST."""
    grown = growth(points)
    return [name for name in MOST if grown[name] > MOST[name]] + [
        name for name in LEAST if not LEAST[name] <= grown[name] < math.inf
    ]


def _ratio(last: float, first: float) -> float:
    return round(last / first, 3) if first else math.inf


def as_text(points: list[Point]) -> str:
    first, last = _thirds(points)
    grown, wrong = growth(points), find_unsteady(points)
    rows = [
        (
            name,
            _shown(name, _median(first, name)),
            _shown(name, _median(last, name)),
            f"{grown[name]:.2f}",
            "wrong" if name in wrong else "",
        )
        for name in grown
    ]
    return aligned(("figure", "at first", "in the end", "ratio", ""), rows)


def _thirds(points: Iterable[Mapping[str, float]]) -> tuple[list[Mapping[str, float]], ...]:
    points = list(points)
    sales = sorted({point["sale"] for point in points})[1:]
    third = max(1, len(sales) // 3)
    return (
        [point for point in points if point["sale"] in sales[:third]],
        [point for point in points if point["sale"] in sales[-third:]],
    )


def _median(points: list[Mapping[str, float]], name: str) -> float:
    return statistics.median(point[name] for point in points)


def _shown(name: str, value: float) -> str:
    if name in HOLDERS:
        return f"{value / 1e6:,.0f} MB"
    if name in (*CONNECTIONS, *ANSWERED):
        return f"{value:,.0f}"
    return f"{value:,.1f} ms"


def summarize(point: Point) -> str:
    return ", ".join(f"{name} {_shown(name, point[name])}" for name in (*MOST, *LEAST))
