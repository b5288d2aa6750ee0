"""Telemetry: what happens in this shop, counted where it happens and merged across its processes.

Counting is an addition under a lock. A few times a second a thread of each process writes what the
process has counted so far, per second and per sale, into the Redis of the cache, beside what the others
have written: all processes, on whatever machine, share its clock and one history, and whoever shows it
adds them up. Numbers are absolute, so that writing them again changes nothing. Nothing depends on it:
while that Redis is away counts wait here, for as long as they would be kept there.
"""

import atexit
import json
import logging
import math
import os
import secrets
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

import redis

from flashsale.redis import clients

log = logging.getLogger(__name__)

# How clicks are answered. `invalid` is what no form of ours sends; `error` is our own fault.
ANSWERS = ("accepted", "repeated", "sold_out", "limit", "rate", "closed", "invalid", "error")

FLUSH_EVERY = 0.25  # seconds
KEPT = 660  # seconds of history: ten minutes to be shown, and some to spare
ALL = 0  # in the place of a sale: what is counted of all together, and clicks of none
# Seconds for which a process adds to what it has written: the clock that it counts by may be put right.
_COUNTED_IN = 10
_TOTALS_KEPT = 7 * 24 * 3600  # seconds without a count, until a sale's totals are forgotten
ALIVE = 5.0  # seconds since it was last heard of
_BURIED = 60.0  # seconds, until a process that is silent is no longer spoken of
_WAITING = 200_000  # clicks whose outcome is waited for, per process
_GIVEN_UP = 120.0  # seconds, until a click's outcome is no longer waited for

_MOST = 2**53  # of anything that is counted here
# What another program has written, at whatever depth.
_UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
_BUCKETS = 500  # from 1 ns to a day: see `_bucket`

_PROCESSES = "telemetry:processes"


def _second_key(second: int) -> str:
    return f"telemetry:second:{second}"


def _totals_key(sale: int) -> str:
    return f"telemetry:sale:{sale}"


# --- Counting ------------------------------------------------------------------------------------

_lock = threading.Lock()
_seconds: dict[int, Counter[str]] = defaultdict(Counter)  # by second of Redis' clock
_sales: dict[int, Counter[str]] = defaultdict(Counter)  # since this process began
_unwritten_seconds: set[int] = set()
_unwritten_sales: set[int] = set()
_clicked: dict[str, float] = {}  # purchases of this process, and when they were clicked
_offset = 0.0  # seconds by which Redis' clock is ahead of this machine's


def count_click(sale: int, answer: str) -> None:
    """Counts a click of a sale (0: of none) by its answer, one of ANSWERS."""
    _count_of_sale(sale, f"clicks|{sale}|{answer}")


def count_settled(sale: int, purchases: int) -> None:
    """Counts purchases of which orders were made."""
    if purchases:
        _count_of_sale(sale, f"settled|{sale}|", purchases)


def count_accepted(purchase: str, clicked_at: float) -> None:
    """Times a click that was accepted just now. `clicked_at` is of time.perf_counter()."""
    took = time.perf_counter() - clicked_at
    with _lock:
        _time(f"accept|{_bucket(took)}|")
        if len(_clicked) < _WAITING:
            _clicked[purchase] = clicked_at


def count_outcomes(outcomes: Iterable[tuple[str, str]]) -> None:
    """Times the way from each click that this process accepted to its outcome, which pages get now.

    `outcomes` are purchases and what has become of them, of other processes' clicks as well.
    """
    now = time.perf_counter()
    with _lock:
        for purchase, status in outcomes:
            clicked_at = _clicked.pop(purchase, None)
            if clicked_at is not None and status == "confirmed":
                _time(f"confirm|{_bucket(now - clicked_at)}|")


def _count_of_sale(sale: int, name: str, units: int = 1) -> None:
    with _lock:
        _count(name, units)
        _sales[sale][name] += units
        _unwritten_sales.add(sale)


def _time(name: str) -> None:
    """Under the lock. Of all sales together: they share their processes."""
    _count(name)
    _sales[ALL][name] += 1
    _unwritten_sales.add(ALL)


def _count(name: str, units: int = 1) -> None:
    """Under the lock."""
    second = int(time.time() + _offset)
    _seconds[second][name] += units
    _unwritten_seconds.add(second)


# Buckets grow by 5 %: what is read from them is right to within 2.5 %.
_GROWTH = 20


def _bucket(seconds: float) -> int:
    return round(math.log(max(seconds, 1e-6) * 1000) * _GROWTH)


def _milliseconds(bucket: int) -> float:
    return math.exp(bucket / _GROWTH)


# --- Passing on ----------------------------------------------------------------------------------

Gauges = Callable[[], Mapping[str, int]]
_started = False


def start(role: str, gauges: Gauges = dict) -> None:
    """Starts to pass on what this process counts, and that it lives. Once per process.

    `gauges` gives numbers that stand for themselves, such as the sockets that are open now.
    """
    global _started
    with _lock:
        if _started:
            return
        _started = True
    # The last part tells it from a later process with its number: each goes on from its own zero.
    host = socket.gethostname().replace(":", "-")
    name = f"{role}:{host}:{os.getpid()}:{secrets.token_hex(4)}"
    threading.Thread(target=_run, args=(name, gauges), name="telemetry", daemon=True).start()
    atexit.register(_flush_last, name)


def _run(name: str, gauges: Gauges) -> None:
    away, alive_until = False, 0.0
    while True:
        time.sleep(FLUSH_EVERY)
        try:
            flush(name)
            if time.monotonic() >= alive_until:
                _live(name, gauges())
                alive_until = time.monotonic() + 1
            away = False
        except (redis.RedisError, OSError) as error:
            if not away:
                log.warning("telemetry waits for its Redis: %s", error)
            away = True
        except Exception:
            log.exception("telemetry stumbled; it goes on")


def _flush_last(name: str) -> None:
    """What was counted since the thread's last round."""
    try:
        flush(name)
    except (redis.RedisError, OSError) as error:
        log.warning("the last counts are lost with this process: %s", error)


def flush(name: str) -> None:
    """Writes what the process of that name has counted. Raises redis.RedisError: it waits then."""
    global _offset
    _forget()
    client = clients.telemetry()
    seconds, microseconds = client.time()
    _offset = seconds + microseconds / 1e6 - time.time()
    changed_seconds, changed_sales = _take()
    try:
        with client.pipeline(transaction=False) as pipe:
            for second, counted in changed_seconds.items():
                pipe.hset(_second_key(second), name, counted)
                pipe.expire(_second_key(second), KEPT)
            for sale, counted in changed_sales.items():
                pipe.hset(_totals_key(sale), name, counted)
                pipe.expire(_totals_key(sale), _TOTALS_KEPT)
            pipe.execute()
    except (redis.RedisError, OSError):
        with _lock:
            _unwritten_seconds.update(changed_seconds)
            _unwritten_sales.update(changed_sales)
        raise


def _forget() -> None:
    """What is too old to be shown, or over and written down, and clicks whose outcome was never heard of:
    the oldest stand first."""
    now = time.time() + _offset
    oldest_click = time.perf_counter() - _GIVEN_UP
    with _lock:
        for second in list(_seconds):
            written = second not in _unwritten_seconds
            if second < now - KEPT or (written and second < now - _COUNTED_IN):
                del _seconds[second]
                _unwritten_seconds.discard(second)
        clicks = _clicked.items()
        for purchase in [name for name, _ in takewhile(lambda c: c[1] < oldest_click, clicks)]:
            del _clicked[purchase]


def _take() -> tuple[dict[int, str], dict[int, str]]:
    """The seconds and sales of which something is new, as they are written."""
    with _lock:
        taken = (
            {second: json.dumps(_seconds[second]) for second in _unwritten_seconds},
            {sale: json.dumps(_sales[sale]) for sale in _unwritten_sales},
        )
        _unwritten_seconds.clear()
        _unwritten_sales.clear()
    return taken


def _live(name: str, gauges: Mapping[str, int]) -> None:
    at = time.time() + _offset
    clients.telemetry().hset(_PROCESSES, name, json.dumps({"at": at, **gauges}))


# --- Reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this shop that was heard of lately."""

    role: str  # web, worker, beat
    host: str
    pid: int
    age: float  # seconds since it was heard of; negative if Redis' clock was put back meanwhile
    gauges: Mapping[str, int]

    @property
    def alive(self) -> bool:
        return abs(self.age) < ALIVE


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in ms of what was timed; None where nothing was."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(slots=True)
class Second:
    """What happened in one second of Redis' clock, or in several."""

    at: int
    clicks: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    settled: Counter[int] = field(default_factory=Counter)
    accept: Counter[int] = field(default_factory=Counter)
    confirm: Counter[int] = field(default_factory=Counter)

    @property
    def answers(self) -> Counter[str]:
        """Clicks of all sales by answer."""
        return sum(self.clicks.values(), Counter())

    def add(self, other: "Second") -> None:
        for sale, clicks in other.clicks.items():
            self.clicks[sale].update(clicks)
        self.settled.update(other.settled)
        self.accept.update(other.accept)
        self.confirm.update(other.confirm)

    def take(self, written: Mapping[str, str]) -> None:
        """Adds what each process has written, as Redis keeps it; not what no process of ours writes."""
        for process, counted in written.items():
            try:
                parsed = [_parsed(name, units) for name, units in json.loads(counted).items()]
            except _UNREADABLE:
                log.warning("telemetry: what %r has written cannot be read", process)
                continue
            for one in parsed:
                self._take_one(*one)

    def _take_one(self, kind: str, which: int, answer: str, units: int) -> None:
        if kind == "clicks":
            self.clicks[which][answer] += units
        elif kind == "settled":
            self.settled[which] += units
        elif kind == "accept":
            self.accept[which] += units
        elif kind == "confirm":
            self.confirm[which] += units


def _parsed(name: str, units: object) -> tuple[str, int, str, int]:
    """One count: its kind, what it is of, the answer, and how often. Raises ValueError."""
    kind, which, answer = name.split("|")
    timed = kind in ("accept", "confirm")
    if (
        not isinstance(units, int)
        or abs(units) > _MOST
        or abs(int(which)) > (_BUCKETS if timed else _MOST)
    ):
        raise ValueError(name)
    return kind, int(which), answer, units


def merged(seconds: Iterable[Second]) -> Second:
    """These seconds as one."""
    whole = Second(0)
    for second in seconds:
        whole.at = max(whole.at, second.at)
        whole.add(second)
    return whole


def up_to(buckets: Counter[int], seconds: Iterable[float]) -> list[int]:
    """How many were timed with at most so many seconds each, of `Second.accept` or `Second.confirm`."""
    return [
        sum(units for bucket, units in buckets.items() if _milliseconds(bucket) <= bound * 1000)
        for bound in seconds
    ]


def total_seconds(buckets: Counter[int]) -> float:
    """What all of them took together, about."""
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
    """Who was heard of in the last minute. Raises redis.RedisError."""
    client = clients.telemetry()
    seconds, microseconds = client.time()
    now = seconds + microseconds / 1e6
    found = []
    for name, told in client.hgetall(_PROCESSES).items():
        try:
            role, host, pid, _ = str(name).split(":")
            gauges = {gauge: float(n) for gauge, n in json.loads(told).items()}
            age = now - gauges.pop("at")
            number = int(pid)
        except _UNREADABLE:
            log.warning("telemetry: %r is no process of ours", name)
            continue
        if abs(age) < _BURIED:
            whole = {gauge: int(n) for gauge, n in gauges.items() if abs(n) <= _MOST}
            found.append(Process(role, host, number, age, whole))
        else:
            client.hdel(_PROCESSES, name)
    return sorted(found, key=lambda process: (process.role, process.host, process.pid))


def totals(sales: Iterable[int]) -> dict[int, Second]:
    """All that was counted of these sales, until nobody has clicked there for a week, or the cache was
    emptied. Raises redis.RedisError."""
    sales = list(sales)
    with clients.telemetry().pipeline(transaction=False) as pipe:
        for sale in sales:
            pipe.hgetall(_totals_key(sale))
        replies = pipe.execute()
    found = {sale: Second(0) for sale in sales}
    for sale, counted in zip(sales, replies, strict=True):
        found[sale].take(counted)
    return found


class History:
    """The last minutes, second by second. Keeps what it has read, for the past does not change."""

    # Seconds that are read again, for a process that was late. One that is later counts in totals.
    _READ_AGAIN = 3

    def __init__(self, seconds: int = 600) -> None:
        self._length = seconds
        self._known: dict[int, Second] = {}

    def read(self) -> list[Second]:
        """Whole seconds, the oldest first, up to the last that every process has had the time to pass
        on. Raises redis.RedisError."""
        client = clients.telemetry()
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
                pipe.hgetall(_second_key(second))
            replies = pipe.execute()
        for second, counted in zip(unsettled, replies, strict=True):
            self._known[second] = Second(second)
            self._known[second].take(counted)
        self._known = {second: self._known[second] for second in wanted}
        return list(self._known.values())
