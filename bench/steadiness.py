"""Whether a day's sales grow in anything: latencies, memory, connections, from the first to the last."""

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
# How much more there may be of it in the last third of the sales than in the first; a backend of
# PostgreSQL takes memory, and each process' pool fills up by chance, to DATABASE_POOL at most.
MOST = (
    dict.fromkeys((*LATENCIES, ORDER_LIST), 1.5)  # others use the machine, too
    | dict.fromkeys(HOLDERS, 1.1)
    | dict.fromkeys(CONNECTIONS, 1.1)
    | dict.fromkeys(("PostgreSQL", "PostgreSQL connections"), 1.5)
)
# How much there must be left of it.
LEAST = dict.fromkeys(ANSWERED, 0.9)


def growth(points: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """How much of each there was in the last third of the sales, per as much in the first third of those
    behind the first, in which everything gets warm. Medians. Infinite where there was nothing at first:
    that was not measured."""
    first, last = _thirds(points)
    return {name: _ratio(_median(last, name), _median(first, name)) for name in (*MOST, *LEAST)}


def too_much(points: Iterable[Mapping[str, float]]) -> list[str]:
    """What has grown, or has become less, by more than it may."""
    grown = growth(points)
    return [name for name in MOST if grown[name] > MOST[name]] + [
        name for name in LEAST if not LEAST[name] <= grown[name] < math.inf
    ]


def _ratio(last: float, first: float) -> float:
    return round(last / first, 3) if first else math.inf


def words(points: list[Point]) -> str:
    first, last = _thirds(points)
    grown, wrong = growth(points), too_much(points)
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
    warm = sorted({point["sale"] for point in points})[1:]
    third = max(1, len(warm) // 3)
    return (
        [point for point in points if point["sale"] in warm[:third]],
        [point for point in points if point["sale"] in warm[-third:]],
    )


def _median(points: list[Mapping[str, float]], name: str) -> float:
    return statistics.median(point[name] for point in points)


def _shown(name: str, value: float) -> str:
    if name in HOLDERS:
        return f"{value / 1e6:,.0f} MB"
    if name in (*CONNECTIONS, *ANSWERED):
        return f"{value:,.0f}"
    return f"{value:,.1f} ms"


def in_short(point: Point) -> str:
    return ", ".join(f"{name} {_shown(name, point[name])}" for name in (*MOST, *LEAST))
