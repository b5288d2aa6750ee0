"""Telemetry: what happens in this shop, counted where it happens and merged across its processes.

Counting is an addition under a lock. A thread per process adds what was counted to the Redis of the
cache, a few times a second, into a bucket per second of that Redis' clock: all processes, on whatever
machine, share one clock and one history. Whoever shows it reads seconds. Nothing depends on it: while
that Redis is away counts wait here, for as long as they would be kept there.
"""

import json
import logging
import math
import os
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import redis

from flashsale import redis_clients

log = logging.getLogger(__name__)

# How clicks are answered. `invalid` is what no form of ours sends; `error` is our own fault.
ANSWERS = ("accepted", "repeated", "sold_out", "limit", "rate", "closed", "invalid", "error")

FLUSH_EVERY = 0.25  # seconds
KEPT = 660  # seconds of history: ten minutes to be shown, and some to spare
_TOTALS_KEPT = 7 * 24 * 3600  # seconds without a count, until a sale's totals are forgotten
ALIVE = 5.0  # seconds since it was last heard of
_BURIED = 60.0  # seconds, until a process that is silent is no longer spoken of
_WAITING = 200_000  # clicks whose outcome is waited for, per process
_GIVEN_UP = 120.0  # seconds, until a click's outcome is no longer waited for

_PROCESSES = "telemetry:processes"


def _second_key(second: int) -> str:
    return f"telemetry:second:{second}"


def _totals_key(sale: int) -> str:
    return f"telemetry:sale:{sale}"


# --- Counting ------------------------------------------------------------------------------------

_lock = threading.Lock()
_counts: dict[int, Counter[str]] = defaultdict(Counter)  # by second of Redis' clock
_clicked: dict[str, float] = {}  # purchases of this process, and when they were clicked
_offset = 0.0  # seconds by which Redis' clock is ahead of this machine's


def count_click(sale: int, answer: str) -> None:
    """Counts a click of a sale (0: of none) by its answer, one of ANSWERS."""
    _count(f"clicks|{sale}|{answer}")


def count_settled(sale: int, purchases: int) -> None:
    """Counts purchases of which orders were made."""
    if purchases:
        _count(f"settled|{sale}|", purchases)


def count_accepted(purchase: str, clicked_at: float) -> None:
    """Times a click that was accepted just now. `clicked_at` is of time.perf_counter()."""
    _count(f"accept|{_bucket(time.perf_counter() - clicked_at)}|")
    with _lock:
        if len(_clicked) < _WAITING:
            _clicked[purchase] = clicked_at


def count_outcome(purchase: str, status: str) -> None:
    """Times the way from a click that this process accepted to its outcome, which pages get now."""
    with _lock:
        clicked_at = _clicked.pop(purchase, None)
    if clicked_at is not None and status == "confirmed":
        _count(f"confirm|{_bucket(time.perf_counter() - clicked_at)}|")


def _count(name: str, units: int = 1) -> None:
    with _lock:
        _counts[int(time.time() + _offset)][name] += units


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
    threading.Thread(target=_run, args=(role, gauges), name="telemetry", daemon=True).start()


def _run(role: str, gauges: Gauges) -> None:
    name = f"{role}:{socket.gethostname()}:{os.getpid()}"
    away = False
    while True:
        time.sleep(FLUSH_EVERY)
        try:
            flush()
            _live(name, gauges())
            away = False
        except (redis.RedisError, OSError) as error:
            if not away:
                log.warning("telemetry waits for its Redis: %s", error)
            away = True
        except Exception:
            log.exception("telemetry stumbled; it goes on")


def flush() -> None:
    """Adds what was counted to the shop's. Raises redis.RedisError: it is tried again then.

    A lost reply means that a quarter of a second may be counted twice: figures to look at, not books.
    """
    global _offset
    client = redis_clients.telemetry()
    seconds, microseconds = client.time()
    _offset = seconds + microseconds / 1e6 - time.time()
    _forget_clicks()
    counts = _take_counts()
    if not counts:
        return
    try:
        _add(client, counts)
    except (redis.RedisError, OSError):
        _put_back(counts, seconds)
        raise


def _add(client: redis.Redis, counts: dict[int, Counter[str]]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for second, counter in counts.items():
            for name, units in counter.items():
                pipe.hincrby(_second_key(second), name, units)
                kind, sale, _ = name.split("|")
                if kind in ("clicks", "settled"):
                    pipe.hincrby(_totals_key(int(sale)), name, units)
            pipe.expire(_second_key(second), KEPT)
        for sale in {name.split("|")[1] for name in _names(counts, "clicks", "settled")}:
            pipe.expire(_totals_key(int(sale)), _TOTALS_KEPT)
        pipe.execute()


def _names(counts: dict[int, Counter[str]], *kinds: str) -> Iterable[str]:
    return (name for counter in counts.values() for name in counter if name.startswith(kinds))


def _take_counts() -> dict[int, Counter[str]]:
    with _lock:
        taken = dict(_counts)
        _counts.clear()
    return taken


def _put_back(counts: dict[int, Counter[str]], now: int) -> None:
    with _lock:
        for second, counter in counts.items():
            if second > now - KEPT:
                _counts[second].update(counter)


def _forget_clicks() -> None:
    """Outcomes that were never heard of: the oldest stand first."""
    oldest_kept = time.perf_counter() - _GIVEN_UP
    with _lock:
        while _clicked and next(iter(_clicked.values())) < oldest_kept:
            del _clicked[next(iter(_clicked))]


def _live(name: str, gauges: Mapping[str, int]) -> None:
    at = time.time() + _offset
    redis_clients.telemetry().hset(_PROCESSES, name, json.dumps({"at": at, **gauges}))


# --- Reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this shop that was heard of lately."""

    role: str  # web, worker, beat
    host: str
    pid: int
    age: float  # seconds since it was heard of
    gauges: Mapping[str, int]

    @property
    def alive(self) -> bool:
        return self.age < ALIVE


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

    def take(self, counted: Mapping[str, str]) -> None:
        """Adds the counts as Redis keeps them."""
        for name, units in counted.items():
            kind, which, answer = name.split("|")
            if kind == "clicks":
                self.clicks[int(which)][answer] += int(units)
            elif kind == "settled":
                self.settled[int(which)] += int(units)
            elif kind == "accept":
                self.accept[int(which)] += int(units)
            elif kind == "confirm":
                self.confirm[int(which)] += int(units)


def merged(seconds: Iterable[Second]) -> Second:
    """These seconds as one."""
    whole = Second(0)
    for second in seconds:
        whole.at = max(whole.at, second.at)
        whole.add(second)
    return whole


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
    client = redis_clients.telemetry()
    seconds, microseconds = client.time()
    now = seconds + microseconds / 1e6
    found = []
    for name, told in client.hgetall(_PROCESSES).items():
        role, host, pid = str(name).split(":")
        gauges = json.loads(told)
        age = max(0.0, now - gauges.pop("at"))
        if age < _BURIED:
            found.append(Process(role, host, int(pid), age, gauges))
        else:
            client.hdel(_PROCESSES, name)
    return sorted(found, key=lambda process: (process.role, process.host, process.pid))


def totals(sales: Iterable[int]) -> dict[int, Second]:
    """All that was counted of these sales. Raises redis.RedisError."""
    sales = list(sales)
    with redis_clients.telemetry().pipeline(transaction=False) as pipe:
        for sale in sales:
            pipe.hgetall(_totals_key(sale))
        replies = pipe.execute()
    found = {sale: Second(0) for sale in sales}
    for sale, counted in zip(sales, replies, strict=True):
        found[sale].take(counted)
    return found


class History:
    """The last minutes, second by second. Keeps what it has read, for the past does not change."""

    _READ_AGAIN = (
        3  # seconds, for a process that was late; one that is later still counts in totals
    )

    def __init__(self, seconds: int = 600) -> None:
        self._length = seconds
        self._known: dict[int, Second] = {}

    def read(self) -> list[Second]:
        """Whole seconds, the oldest first, up to the last that every process has had the time to pass
        on. Raises redis.RedisError."""
        client = redis_clients.telemetry()
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
