"""What workers and commands use to reach Redis: blocking clients, one per process and server.

A gate is a sale's replica in Redis, its line the stream of purchases without a decision. Web processes use
`web_connections.py` instead.
"""

from collections.abc import Iterable
from functools import cache

import redis
from django.conf import settings

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
