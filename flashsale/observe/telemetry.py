"""Telemetry: each process counts its events, and writes the counts where all processes' are added up.

Counting is an addition under a lock. A few times a second a thread of each process writes the process'
counts so far, per second and per sale, into the cache's Redis, in a field of its own. So all processes, on
any machine, share one clock and one history; `telemetry_reader.py` adds them up. Counts are absolute, so
writing them twice changes nothing. Only a web process' first readiness depends on telemetry. While that
Redis is down, counts wait in the process for as long as Redis would keep them.
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

from flashsale.redis import blocking_clients

log = logging.getLogger(__name__)

# Answers to clicks. `invalid`: the shop's forms never send such a click; `error`: the shop's own fault.
ANSWERS = (
    "accepted",
    "repeated",
    "sold_out",
    "limit",
    "rate",
    "closed",
    "changed",
    "entry",
    "invalid",
    "error",
)

MAILS = ("done", "unneeded", "failed", "postponed")  # postponed ones are tried again

FLUSH_EVERY = 0.25  # seconds
KEPT = 660  # seconds of history: ten minutes for the dashboard, and a margin
ALL = 0  # instead of a sale's id: counts of all sales together, and clicks of no sale
# Seconds for which a process keeps a second that it has written: after a correction of its clock it may
# count into that second again.
_COUNTED_IN = 10
_TOTALS_KEPT = 7 * 24 * 3600  # seconds after the last count until a sale's totals expire
_WAITING = 200_000  # most clicks, per process, that wait for their outcome to be timed
_GIVEN_UP = 120.0  # seconds after which a click no longer waits for its outcome


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
_clicked: dict[
    str, float
] = {}  # this process' purchases, with the time of their click, oldest first
_offset = 0.0  # seconds by which Redis' clock is ahead of this machine's


def count_click(sale: int, answer: str) -> None:
    """Count a click of a sale (0: of no sale) by its answer, one of ANSWERS."""
    _count_of_sale(sale, f"clicks|{sale}|{answer}")


def count_settled(sale: int, purchases: int) -> None:
    """Count purchases that became orders."""
    if purchases:
        _count_of_sale(sale, f"settled|{sale}|", purchases)


def count_payment(what: str) -> None:
    """Count something that happened to payments of all sales, such as `forged`: an event that no provider
    signed."""
    _count_of_sale(ALL, f"payments|{ALL}|{what}")


def count_mail(outcome: str) -> None:
    """Count a mail by its outcome, one of MAILS."""
    _count_of_sale(ALL, f"mails|{ALL}|{outcome}")


def count_accepted(purchase: str, clicked_at: float) -> None:
    """Time a click that was accepted just now. `clicked_at` is of time.perf_counter()."""
    took = time.perf_counter() - clicked_at
    with _lock:
        _count_timed(f"accept|{_bucket(took)}|")
        if len(_clicked) < _WAITING:
            _clicked[purchase] = clicked_at


def count_outcomes(outcomes: Iterable[tuple[str, str]]) -> None:
    """Time this process' clicks that got units, from the click until now, when their outcome goes to the
    pages.

    `outcomes` are (purchase, status), also of other processes' clicks.
    """
    now = time.perf_counter()
    with _lock:
        for purchase, status in outcomes:
            clicked_at = _clicked.pop(purchase, None)
            if clicked_at is not None and status in ("held", "confirmed"):
                _count_timed(f"confirm|{_bucket(now - clicked_at)}|")


def _count_of_sale(sale: int, name: str, units: int = 1) -> None:
    with _lock:
        _count(name, units)
        _sales[sale][name] += units
        _unwritten_sales.add(sale)


def _count_timed(name: str) -> None:
    """Count for all sales together: they share their processes. The caller holds the lock."""
    _count(name)
    _sales[ALL][name] += 1
    _unwritten_sales.add(ALL)


def _count(name: str, units: int = 1) -> None:
    """The caller holds the lock."""
    second = int(time.time() + _offset)
    _seconds[second][name] += units
    _unwritten_seconds.add(second)


# Buckets grow by 5 %, so a time read from them is within 2.5 %.
GROWTH = 20


def _bucket(seconds: float) -> int:
    return round(math.log(max(seconds, 1e-6) * 1000) * GROWTH)


# --- Writing -------------------------------------------------------------------------------------

Gauges = Callable[[], Mapping[str, int]]
_started = False


def start(role: str, gauges: Gauges = dict) -> None:
    """Start the thread that writes this process' counts and its sign of life. Once per process.

    `gauges` returns current numbers that are not added up over time, such as the open sockets.
    """
    global _started
    with _lock:
        if _started:
            return
        _started = True
    # The random part: a later process with the same pid starts at zero, and must not overwrite this one.
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
                _write_sign_of_life(name, gauges())
                alive_until = time.monotonic() + 1
            away = False
        except (redis.RedisError, OSError) as error:
            if not away:
                log.warning("telemetry waits for its Redis: %s", error)
            away = True
        except Exception:
            log.exception("telemetry failed; it goes on")


def _flush_last(name: str) -> None:
    """Write the counts since the thread's last round, when the process ends."""
    try:
        flush(name)
    except (redis.RedisError, OSError) as error:
        log.warning("the last counts are lost with this process: %s", error)


def flush(name: str) -> None:
    """Write the process' unwritten counts under `name`. Raises redis.RedisError, and keeps them then."""
    with _flushing:
        _flush(name)


def _flush(name: str) -> None:
    global _offset
    _drop_old()
    client = blocking_clients.telemetry_client()
    seconds, microseconds = client.time()
    _offset = seconds + microseconds / 1e6 - time.time()
    changed_seconds, changed_sales = _take_unwritten()
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


def _drop_old() -> None:
    """Drop seconds that are too old to be shown, or past and written, and clicks without an outcome."""
    now = time.time() + _offset
    oldest_click = time.perf_counter() - _GIVEN_UP
    with _lock:
        for second in list(_seconds):
            written = second not in _unwritten_seconds
            if second < now - KEPT or (written and second < now - _COUNTED_IN):
                del _seconds[second]
                _unwritten_seconds.discard(second)
        clicks = _clicked.items()
        for purchase in [id_ for id_, _ in takewhile(lambda c: c[1] < oldest_click, clicks)]:
            del _clicked[purchase]


def _take_unwritten() -> tuple[dict[int, str], dict[int, str]]:
    """The seconds and the sales with unwritten counts, as JSON for Redis."""
    with _lock:
        taken = (
            {second: json.dumps(_seconds[second]) for second in _unwritten_seconds},
            {sale: json.dumps(_sales[sale]) for sale in _unwritten_sales},
        )
        _unwritten_seconds.clear()
        _unwritten_sales.clear()
    return taken


def _write_sign_of_life(name: str, gauges: Mapping[str, int]) -> None:
    at = time.time() + _offset
    blocking_clients.telemetry_client().hset(PROCESSES_KEY, name, json.dumps({"at": at, **gauges}))
