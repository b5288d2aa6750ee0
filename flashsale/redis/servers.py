"""Which Redis has a sale: the one at REDIS_URL or, of a cluster (REDIS_CLUSTER), the master of its slot.

All keys of a sale are in one slot, so a sale is never on two servers, and a cluster is to us what several
servers are. redis-py's own client for clusters sends a command again by rules of its own, which the
purchase path cannot have (`redis_clients`). So the map is read here, and again every second while it is
used: a slot that has moved, or a replica that has taken over, is met as an outage of about that long.
"""

import asyncio
import logging
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, partial
from urllib.parse import urlsplit

import redis
from django.conf import settings
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, TryAgainError

from flashsale.concurrency import PerLoop, SingleFlight
from flashsale.redis import connecting

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds
_TIMEOUT = 1.0  # seconds, of each server
_PATIENCE = 2.0  # seconds

# What a server of a cluster says that has not, or not yet, the keys that are meant: nothing was done.
NOT_HERE = (AskError, TryAgainError, ClusterDownError)  # MovedError is an AskError


@dataclass(frozen=True, slots=True)
class Servers:
    """The URLs of all of them; in a cluster the ranges of slots, too: their ends, ascending, and owners."""

    urls: tuple[str, ...]
    ends: tuple[int, ...] = ()
    owners: tuple[str, ...] = ()

    def of(self, sale: int) -> str:
        """The URL of the server that has the sale."""
        if not self.ends:
            return self.urls[0]
        return self.owners[bisect_left(self.ends, key_slot(b"sale:%d" % sale))]


@cache
def _alone(url: str) -> Servers:
    return Servers((url,))


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of the cluster last, whether the last try saw anything, and when that ended."""

    servers: Servers | None
    failure: redis.RedisError | None
    at: float

    @property
    def old(self) -> bool:
        return time.monotonic() - self.at > LOOK_EVERY


_UNSEEN = _Look(None, None, float("-inf"))
_looking = threading.Lock()
_last = _UNSEEN


def current() -> Servers:
    """As they are, or were a second ago. Blocks where it has to look, for some seconds at most. Raises
    redis.RedisError where they were never seen and cannot be asked."""
    if not settings.REDIS_CLUSTER:
        return _alone(settings.REDIS_URL)
    # While one looks, the others go on with what was seen, or wait for it where nothing was.
    if _last.old and _looking.acquire(blocking=_last.servers is None):
        try:
            if _last.old:
                _look()
        finally:
            _looking.release()
    if _last.servers is None:
        raise _last.failure or redis.ConnectionError("the cluster was never seen")
    return _last.servers


async def current_in_loop() -> Servers:
    """`now` for an event loop, which goes on with the old map while a new one is read, and waits for the
    first one no longer than `_PATIENCE`."""
    if not settings.REDIS_CLUSTER:
        return _alone(settings.REDIS_URL)
    last = _last  # one look at the clock: `now` would look again, and might block
    if not last.old and last.servers:
        return last.servers
    if not last.old:
        raise last.failure or redis.ConnectionError("the cluster was never seen")
    looking = _in_a_thread.get().start()
    if last.servers:
        return last.servers
    try:
        return await asyncio.wait_for(asyncio.shield(looking), _PATIENCE)
    except TimeoutError as error:
        raise redis.TimeoutError("the cluster does not answer") from error


_in_a_thread = PerLoop(lambda: SingleFlight(partial(asyncio.to_thread, current)))


def _look() -> None:
    """Asks whoever of them answers first; whoever did not comes last from then on."""
    global _last, _order
    failure: redis.RedisError | None = None
    for url in tuple(dict.fromkeys((*_order, settings.REDIS_URL))):
        try:
            seen = read(url)
        except redis.RedisError as error:
            log.warning("the cluster's map cannot be read at %s: %s", address_of(url), error)
            failure = error
            _order = (*(known for known in _order if known != url), url)
        else:
            # Those that are new to us behind those that we know, whoever has gone left out.
            _order = tuple(url for url in dict.fromkeys((*_order, *seen.urls)) if url in seen.urls)
            _last = _Look(seen, None, time.monotonic())
            return
    _last = _Look(_last.servers, failure, time.monotonic())


_order: tuple[str, ...] = ()


def read_configured() -> Servers:
    """As the one at REDIS_URL tells now. Raises redis.RedisError, also where it is no cluster's."""
    return read(settings.REDIS_URL) if settings.REDIS_CLUSTER else _alone(settings.REDIS_URL)


def read(url: str) -> Servers:
    """The masters, as this one of them tells. Raises redis.RedisError, also where no master has some of
    the slots."""
    with connecting.client(url, timeout=_TIMEOUT, connect_timeout=_TIMEOUT) as client:
        state = str(client.execute_command("CLUSTER", "INFO"))
        told = sorted(client.execute_command("CLUSTER", "SLOTS"))
    ends, owners, following = [], [], 0
    for first, last, (host, port, *_), *_replicas in told:
        if first != following:
            break
        ends.append(last)
        owners.append(_url(host, port, url))
        following = last + 1
    if following != REDIS_CLUSTER_HASH_SLOTS:
        raise redis.ConnectionError(f"no server of the cluster has slot {following}")
    # One that is cut off from the others tells an old map for ever.
    if "cluster_state:ok" not in state:
        raise redis.ConnectionError("it is no part of a working cluster")
    return Servers(tuple(dict.fromkeys(owners)), tuple(ends), tuple(owners))


def _url(host: str, port: int, asked: str) -> str:
    """That of another server, with the same user, password and encryption. Raises redis.ConnectionError
    where the one that was asked does not tell its name."""
    if host == "?":  # cluster-preferred-endpoint-type, without a cluster-announce-hostname
        raise redis.ConnectionError("the cluster does not say where its servers are")
    given = urlsplit(asked)
    who, at, _ = given.netloc.rpartition("@")
    where = host or given.hostname or ""  # none: the one that was asked
    return given._replace(
        netloc=f"{who}{at}{f'[{where}]' if ':' in where else where}:{port}"
    ).geturl()


def address_of(url: str) -> str:
    """An address without user and password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
