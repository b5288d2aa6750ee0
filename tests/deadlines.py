"""Deadlines, scaled to the machine: `seconds(n)` is `n` on an idle machine and more on a slow or busy one.

A deadline only ends a test that would otherwise hang, so it is far. Benchmarks say how fast something is.
"""

import time
from functools import cache

_REFERENCE = 0.12  # seconds that `_work` takes on the machine for which deadlines are written
_SAMPLES = 3


def seconds(n: float) -> float:
    return n * slowness()


def ahead(n: float) -> float:
    """Seconds until a moment that a test must see coming, such as an opening: `n` on an idle machine, on a
    busy one more by the time that a page takes to load."""
    return n + 3 * (slowness() - 1)


@cache
def slowness() -> float:
    """How many times slower than the reference this machine is now: at least 1. Measured once."""
    return max(1.0, *(_measure() / _REFERENCE for _ in range(_SAMPLES)))


def _measure() -> float:
    """Wall-clock time, so that it contains the wait for a processor."""
    began = time.perf_counter()
    _work()
    return time.perf_counter() - began


def _work() -> int:
    return sum(n * n % 7 for n in range(1_000_000))
