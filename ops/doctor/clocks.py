"""Check that the clocks of Redis, PostgreSQL and this machine agree."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import redis

from flashsale.redis import servers
from ops.doctor.findings import Finding, ok, warning
from ops.doctor.postgresql import query
from ops.doctor.redis_servers import connect

_CLOCKS_APART = 0.5  # seconds
_POSTGRESQL_TIME = "SELECT extract(epoch FROM clock_timestamp())"


def check_clocks() -> Iterator[Finding]:
    """Compare them: Redis' clock opens and closes sales, the others date what staff do."""
    ahead = {
        **_measure_redis(),
        "PostgreSQL": _measure(lambda: float(query(_POSTGRESQL_TIME)[0][0])),
    }
    seen = ", ".join(f"{server}'s by {seconds:+.3f} s" for server, seconds in ahead.items())
    if max(0.0, *ahead.values()) - min(0.0, *ahead.values()) > _CLOCKS_APART:
        advice = "Let all machines take their time from the same NTP servers."
        yield warning("clocks", f"They differ from this machine's: {seen}.", advice)
    else:
        yield ok("clocks", f"They agree with this machine's: {seen}.")


def _measure_redis() -> dict[str, float]:
    """Seconds by which each server is ahead. Skips one of several that is away, which
    `check_gate_servers` names; a single one raises redis.RedisError."""
    ahead = {}
    urls = servers.read_configured().urls
    for url in urls:
        name = "Redis" if len(urls) == 1 else servers.address_of(url)
        try:
            with connect(url) as client:
                ahead[name] = _measure(partial(_read_time, client))
        except redis.RedisError:
            if len(urls) == 1:
                raise
    return ahead


def _measure(ask: Callable[[], float]) -> float:
    """Seconds by which a server's clock is ahead of ours, to half the time that asking takes. The
    first call may have to connect, and is not measured."""
    ask()
    before = time.time()
    theirs = ask()
    return theirs - (before + time.time()) / 2


def _read_time(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6)
