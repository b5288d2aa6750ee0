"""Reads telemetry: adds up the counts of all processes, per second and per sale."""

import json
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flashsale.observe.telemetry import FLUSH_EVERY, GROWTH, PROCESSES_KEY, second_key, totals_key
from flashsale.redis import blocking_clients

log = logging.getLogger(__name__)

ALIVE = 5.0  # seconds since its last sign of life, within which a process counts as alive
_REMOVED_AFTER = 60.0  # seconds without a sign of life
_MOST = 2**53  # the largest count that is believed
_BUCKETS = 500  # from 1 ns to a day: see `telemetry._bucket`
# The errors of parsing data that another program has written.
_UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


def _milliseconds(bucket: int) -> float:
    return math.exp(bucket / GROWTH)


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this shop with a recent sign of life."""

    role: str  # web, worker, beat
    host: str
    pid: int
    age: float  # seconds since its last sign of life; negative if Redis' clock was put back since
    gauges: Mapping[str, int]

    @property
    def alive(self) -> bool:
        return abs(self.age) < ALIVE


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in ms. None if nothing was timed."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(slots=True)
class Second:
    """The counts of one second of Redis' clock, or of several."""

    at: int
    clicks: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    settled: Counter[int] = field(default_factory=Counter)
    payments: Counter[str] = field(default_factory=Counter)
    accept: Counter[int] = field(default_factory=Counter)
    confirm: Counter[int] = field(default_factory=Counter)
    mails: Counter[str] = field(default_factory=Counter)  # by what became of them

    @property
    def answers(self) -> Counter[str]:
        """Clicks of all sales by answer."""
        return sum(self.clicks.values(), Counter())

    def add(self, other: "Second") -> None:
        for sale, clicks in other.clicks.items():
            self.clicks[sale].update(clicks)
        self.settled.update(other.settled)
        self.payments.update(other.payments)
        self.accept.update(other.accept)
        self.confirm.update(other.confirm)
        self.mails.update(other.mails)

    def take(self, written: Mapping[str, str]) -> None:
        """Add the processes' counts (JSON by process, as in Redis). Skips and logs malformed ones."""
        for process, counted in written.items():
            try:
                parsed = [_parsed(name, units) for name, units in json.loads(counted).items()]
            except _UNREADABLE:
                log.warning("telemetry: malformed counts of %r", process)
                continue
            for count in parsed:
                self._add_count(*count)

    def _add_count(self, kind: str, which: int, answer: str, units: int) -> None:
        if kind == "clicks":
            self.clicks[which][answer] += units
        elif kind == "settled":
            self.settled[which] += units
        elif kind == "payments":
            self.payments[answer] += units
        elif kind == "accept":
            self.accept[which] += units
        elif kind == "confirm":
            self.confirm[which] += units
        elif kind == "mails":
            self.mails[answer] += units


def _parsed(name: str, units: object) -> tuple[str, int, str, int]:
    """Parse one count into its kind, its sale or bucket, the answer, and the number. Raises ValueError."""
    kind, which, answer = name.split("|")
    timed = kind in ("accept", "confirm")
    if (
        not isinstance(units, int)
        or abs(units) > _MOST
        or abs(int(which)) > (_BUCKETS if timed else _MOST)
    ):
        raise ValueError(name)
    return kind, int(which), answer, units


def merge(seconds: Iterable[Second]) -> Second:
    """Add seconds up into one."""
    whole = Second(0)
    for second in seconds:
        whole.at = max(whole.at, second.at)
        whole.add(second)
    return whole


def count_up_to(buckets: Counter[int], seconds: Iterable[float]) -> list[int]:
    """For each bound in seconds, how many times of `Second.accept` or `Second.confirm` are within it."""
    return [
        sum(units for bucket, units in buckets.items() if _milliseconds(bucket) <= bound * 1000)
        for bound in seconds
    ]


def total_seconds(buckets: Counter[int]) -> float:
    """The approximate sum of all times."""
    return sum(units * _milliseconds(bucket) / 1000 for bucket, units in buckets.items())


def latency(buckets: Counter[int]) -> Latency:
    """Percentiles of `Second.accept` or `Second.confirm`."""
    timed, seen = sum(buckets.values()), 0
    found: dict[float, float] = {}
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        for share in (0.50, 0.95, 0.99):
            if seen >= math.ceil(share * timed):
                found.setdefault(share, _milliseconds(bucket))
    return Latency(found.get(0.50), found.get(0.95), found.get(0.99))


def processes() -> list[Process]:
    """The processes with a sign of life in the last minute. Raises redis.RedisError."""
    client = blocking_clients.telemetry_client()
    seconds, microseconds = client.time()
    now = seconds + microseconds / 1e6
    found = []
    for name, written in client.hgetall(PROCESSES_KEY).items():
        try:
            role, host, pid, _ = str(name).split(":")
            gauges = {gauge: float(n) for gauge, n in json.loads(written).items()}
            age = now - gauges.pop("at")
            number = int(pid)
        except _UNREADABLE:
            log.warning("telemetry: malformed sign of life of %r", name)
            continue
        if abs(age) < _REMOVED_AFTER:
            whole = {gauge: int(n) for gauge, n in gauges.items() if abs(n) <= _MOST}
            found.append(Process(role, host, number, age, whole))
        else:
            client.hdel(PROCESSES_KEY, name)
    return sorted(found, key=lambda process: (process.role, process.host, process.pid))


def totals(sales: Iterable[int]) -> dict[int, Second]:
    """All counts of these sales. They expire a week after the sale's last count, or when the cache is
    emptied. Raises redis.RedisError."""
    sales = list(sales)
    with blocking_clients.telemetry_client().pipeline(transaction=False) as pipe:
        for sale in sales:
            pipe.hgetall(totals_key(sale))
        replies = pipe.execute()
    found = {sale: Second(0) for sale in sales}
    for sale, counted in zip(sales, replies, strict=True):
        found[sale].take(counted)
    return found


class History:
    """The last minutes, second by second. Caches past seconds, which do not change."""

    # The newest seconds are read again, for processes that write late. A later write counts only in totals.
    _READ_AGAIN = 3

    def __init__(self, seconds: int = 600) -> None:
        self._length = seconds
        self._known: dict[int, Second] = {}

    def read(self) -> list[Second]:
        """Read whole seconds, oldest first, up to the last one that every process has had time to write.
        Raises redis.RedisError."""
        client = blocking_clients.telemetry_client()
        seconds, microseconds = client.time()
        end = int(seconds + microseconds / 1e6 - 2 * FLUSH_EVERY)
        wanted = range(end - self._length, end)
        unsettled = [
            second
            for second in wanted
            if second not in self._known or second >= end - self._READ_AGAIN
        ]
        with client.pipeline(transaction=False) as pipe:
            for second in unsettled:
                pipe.hgetall(second_key(second))
            replies = pipe.execute()
        for second, counted in zip(unsettled, replies, strict=True):
            self._known[second] = Second(second)
            self._known[second].take(counted)
        self._known = {second: self._known[second] for second in wanted}
        return list(self._known.values())
