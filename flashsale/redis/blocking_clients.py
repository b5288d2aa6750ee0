"""What workers and commands use to reach Redis: blocking clients, one per process and server.

A gate is a sale's replica in Redis, its line the stream of purchases without a decision. Web processes use
`web_connections.py` instead.
"""

from collections.abc import Iterable
from contextlib import suppress
from functools import cache

import redis
from django.conf import settings
from redis.exceptions import AskError

from flashsale.redis import refusals
from flashsale.redis import servers as servers_module
from flashsale.redis.client_factory import client


def client_of(sale: int) -> redis.Redis:
    """The blocking client of the server that has the sale: thread-safe, one per process and server."""
    return _client(servers_module.current().of(sale))


def group_by_server(sales: Iterable[int]) -> list[tuple[redis.Redis, list[int]]]:
    """Every server's client, with those of `sales` that the server has (perhaps none)."""
    servers = servers_module.current()
    shares: dict[str, list[int]] = {url: [] for url in servers.urls}
    for sale in sales:
        shares[servers.of(sale)].append(sale)
    return [(_client(url), share) for url, share in shares.items()]


def check_writable(server: redis.Redis, *, needs_memory: bool = True) -> None:
    """Raise redis.RedisError if a server of `group_by_server` does not answer, or refuses to be written
    to: with `needs_memory` also because its memory is full. Afterwards no idle connection leads to a server
    that has been replaced."""
    servers = servers_module.current()
    # Empty if the server has left the cluster meanwhile.
    tags = [servers.tag_on(url) for url in servers.urls if _client(url) is server]
    with suppress(AskError):  # a slot that has moved says nothing about the server
        refusals.send_probe(server, *tags, needs_memory=needs_memory)


@cache
def _client(url: str) -> redis.Redis:
    return client(
        url,
        timeout=5,  # a rebuild writes thousands of answers in one script
        connect_timeout=1,
        resend=True,
        encoding_errors="surrogateescape",  # so that corrupt data can be read, and removed
    )


@cache
def telemetry_client() -> redis.Redis:
    """The blocking client of the cache's Redis, for telemetry. Short time-outs: figures can wait."""
    return client(
        settings.CACHE_URL,
        timeout=1,
        connect_timeout=1,
        resend=True,
        encoding_errors="replace",  # other programs may write there
    )
