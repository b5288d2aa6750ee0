"""Compute the points of the dashboard's charts, and the same figures as a table."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flashsale.observe.telemetry import ANSWERS
from flashsale.observe.telemetry_reader import Latency, Second, latency, merge

Point = list[float | None]

SAID = {
    "accepted": "accepted",
    "repeated": "repeated",
    "sold_out": "sold out",
    "limit": "over the limit",
    "rate": "too fast",
    "closed": "closed",
    "changed": "changed since shown",
    "entry": "may not enter",
    "invalid": "invalid",
    "error": "error",
}
# The values of a point, after its second. Latencies are in ms.
COLUMNS = (
    *(SAID[answer] for answer in ANSWERS),
    "settled",
    *("accepted p50", "accepted p99", "confirmed p50", "confirmed p95", "confirmed p99"),
)

_MINUTE = 60


def points(seconds: Iterable[Second]) -> list[Point]:
    """Make a row per second: the second (Unix time), then the COLUMNS."""
    return [_point(second) for second in seconds]


def _point(second: Second) -> Point:
    answers = second.answers
    accept, confirm = latency(second.accept), latency(second.confirm)
    return [
        second.at,
        *(answers[answer] for answer in ANSWERS),
        second.settled.total(),
        *map(_rounded, (accept.p50, accept.p99, confirm.p50, confirm.p95, confirm.p99)),
    ]


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 2)


class Minute(NamedTuple):
    """A row of the table."""

    at: int  # its last second, in Unix time
    answers: list[int]  # in the order of ANSWERS
    settled: int
    accept: Latency
    confirm: Latency


def minutes(seconds: Sequence[Second]) -> Iterator[Minute]:
    """Merge the seconds into minutes, the latest first; leave out those in which nothing happened."""
    for end in range(len(seconds), 0, -_MINUTE):
        whole = merge(seconds[max(0, end - _MINUTE) : end])
        answers = whole.answers
        if answers or whole.settled:
            yield Minute(
                whole.at,
                [answers[answer] for answer in ANSWERS],
                whole.settled.total(),
                latency(whole.accept),
                latency(whole.confirm),
            )
