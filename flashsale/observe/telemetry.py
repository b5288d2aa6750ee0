"""Telemetry: what happens in this shop, counted where it happens and merged across its processes.

Counting is an addition under a lock. A few times a second a thread of each process writes what the
process has counted so far, per second and per sale, into the Redis of the cache, beside what the others
have written: all processes, on whatever machine, share its clock and one history, and whoever shows it
adds them up. Numbers are absolute, so that writing them again changes nothing. Nothing depends on it but
a web process' first readiness: while that Redis is away counts wait here, for as long as they would be
kept there.
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
_WAITING = 200_000  # clicks whose outcome is waited for, per process
_GIVEN_UP = 120.0  # seconds, until a click's outcome is no longer waited for


PROCESSES_KEY = "telemetry:processes"


def second_key(second: int) -> str:
    return f"telemetry:second:{second}"


def totals_key(sale: int) -> str:
    return f"telemetry:sale:{sale}"


# --- Counting ------------------------------------------------------------------------------------

_lock = threading.Lock()
_flushing = threading.Lock()  # or an older count could be written over a newer one
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
GROWTH = 20


def _bucket(seconds: float) -> int:
    return round(math.log(max(seconds, 1e-6) * 1000) * GROWTH)


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
    with _flushing:
        _flush(name)


def _flush(name: str) -> None:
    global _offset
    _forget()
    client = clients.telemetry_client()
    seconds, microseconds = client.time()
    _offset = seconds + microseconds / 1e6 - time.time()
    changed_seconds, changed_sales = _take()
    try:
        with client.pipeline(transaction=False) as pipe:
            for second, counted in changed_seconds.items():
                pipe.hset(second_key(second), name, counted)
                pipe.expire(second_key(second), KEPT)
            for sale, counted in changed_sales.items():
                pipe.hset(totals_key(sale), name, counted)
                pipe.expire(totals_key(sale), _TOTALS_KEPT)
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
    clients.telemetry_client().hset(PROCESSES_KEY, name, json.dumps({"at": at, **gauges}))


# --- Reading -------------------------------------------------------------------------------------
