"""Finds the Redis that has a sale: the one at REDIS_URL or, in a cluster (REDIS_CLUSTER), a slot's
master.

All keys of a sale are in one slot, so a sale is never on two servers, and the shop treats a cluster
like several servers. redis-py's own cluster client resends commands by rules of its own, which the
purchase path does not allow (`flashsale/redis/web_connections.py`). So this module reads the map of
slots, and again every second while it is used: a moved slot, or a replica that takes over, causes
an outage of about that length.
"""

import asyncio
import logging
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from urllib.parse import urlsplit

import redis
from django.conf import settings
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, TryAgainError

from flashsale.concurrency import PerLoop, SingleFlight
from flashsale.redis import client_factory

log = logging.getLogger(__name__)

READ_EVERY = 1.0  # seconds
_TIMEOUT = 1.0  # seconds for each server's reply
_PATIENCE = 2.0  # seconds for the first map, in an event loop

# Replies of a cluster's server that does not have the keys, or not yet: the command was not carried out.
NOT_HERE = (AskError, TryAgainError, ClusterDownError)  # MovedError is an AskError


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers' URLs; in a cluster also the ranges of slots: last slots, ascending, and owners."""

    urls: tuple[str, ...]
    ends: tuple[int, ...] = ()
    owners: tuple[str, ...] = ()

    def of(self, sale: int) -> str:
        """The URL of the server that has the sale."""
        if not self.ends:
            return self.urls[0]
        return self.owners[bisect_left(self.ends, key_slot(b"sale:%d" % sale))]

    def tag_on(self, url: str) -> str:
        """The tag of keys that this server has: of a sale, whether it exists or not."""
        return next(f"sale:{sale}" for sale in count() if self.of(sale) == url)


@cache
def _single(url: str) -> Servers:
    return Servers((url,))


@dataclass(frozen=True, slots=True)
class _Reading:
    """The last map that was read, the error of the last attempt (None: success), and when that
    ended."""

    servers: Servers | None
    failure: redis.RedisError | None
    at: float

    @property
    def old(self) -> bool:
        return time.monotonic() - self.at > READ_EVERY


_UNSEEN = _Reading(None, None, float("-inf"))
_reading = threading.Lock()
_last = _UNSEEN


def current() -> Servers:
    """The servers, at most about a second old while the cluster answers.

    Blocks for some seconds at most if it has to read them. Raises redis.RedisError if they were
    never read.
    """
    if not settings.REDIS_CLUSTER:
        return _single(settings.REDIS_URL)
    # One thread reads. The others continue with the last map, or wait if there is none.
    if _last.old and _reading.acquire(blocking=_last.servers is None):
        try:
            if _last.old:
                _read_again()
        finally:
            _reading.release()
    if _last.servers is None:
        raise _last.failure or redis.ConnectionError("the cluster was never seen")
    return _last.servers


async def current_in_loop() -> Servers:
    """Like `current`, for an event loop: uses the old map while a thread reads a new one, and waits
    at most `_PATIENCE` for the first one."""
    if not settings.REDIS_CLUSTER:
        return _single(settings.REDIS_URL)
    last = _last  # not `current()`: by its own check of the clock it might block
    if not last.old and last.servers:
        return last.servers
    if not last.old:
        raise last.failure or redis.ConnectionError("the cluster was never seen")
    reading = _current_in_thread.get().start()
    if last.servers:
        return last.servers
    try:
        return await asyncio.wait_for(asyncio.shield(reading), _PATIENCE)
    except TimeoutError as error:
        raise redis.TimeoutError("the cluster does not answer") from error


_current_in_thread = PerLoop(lambda: SingleFlight(partial(asyncio.to_thread, current)))


def _read_again() -> None:
    """Read the map from the first server that answers; move each that fails to the end of the
    order."""
    global _last, _order
    failure: redis.RedisError | None = None
    for url in tuple(dict.fromkeys((*_order, settings.REDIS_URL))):
        try:
            servers = read(url)
        except redis.RedisError as error:
            log.warning("the cluster's map cannot be read at %s: %s", address_of(url), error)
            failure = error
            _order = (*(known for known in _order if known != url), url)
        else:
            # Append new servers, and drop those that left the cluster.
            known = dict.fromkeys((*_order, *servers.urls))
            _order = tuple(url for url in known if url in servers.urls)
            _last = _Reading(servers, None, time.monotonic())
            return
    _last = _Reading(_last.servers, failure, time.monotonic())


_order: tuple[str, ...] = ()


def read_configured() -> Servers:
    """Read the servers from REDIS_URL's now. Raises redis.RedisError, also if it is not in a
    cluster."""
    return read(settings.REDIS_URL) if settings.REDIS_CLUSTER else _single(settings.REDIS_URL)


def read(url: str) -> Servers:
    """Read the cluster's masters from one of its servers. Raises redis.RedisError, also if a slot
    has no master."""
    with client_factory.client(url, timeout=_TIMEOUT, connect_timeout=_TIMEOUT) as client:
        state = str(client.execute_command("CLUSTER", "INFO"))
        slots = sorted(client.execute_command("CLUSTER", "SLOTS"))
    ends, owners, following = [], [], 0
    for first, last, (host, port, *_), *_replicas in slots:
        if first != following:
            break
        ends.append(last)
        owners.append(_url(host, port, url))
        following = last + 1
    if following != REDIS_CLUSTER_HASH_SLOTS:
        raise redis.ConnectionError(f"no server of the cluster has slot {following}")
    # A server that is cut off from the others keeps returning an old map.
    if "cluster_state:ok" not in state:
        raise redis.ConnectionError("it is no part of a working cluster")
    return Servers(tuple(dict.fromkeys(owners)), tuple(ends), tuple(owners))


def _url(host: str, port: int, source: str) -> str:
    """The URL of another server, with the user, password and encryption of `source`, the server
    that named it. Raises redis.ConnectionError if it gave no host name."""
    if host == "?":  # cluster-preferred-endpoint-type, without a cluster-announce-hostname
        raise redis.ConnectionError("the cluster does not say where its servers are")
    parts = urlsplit(source)
    credentials, at, _ = parts.netloc.rpartition("@")
    name = host or parts.hostname or ""  # an empty host means the source itself
    return parts._replace(
        netloc=f"{credentials}{at}{f'[{name}]' if ':' in name else name}:{port}"
    ).geturl()


def address_of(url: str) -> str:
    """A URL's address, without user and password, for logs and messages."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
