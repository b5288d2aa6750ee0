"""A bare web process, which shows the machine's limits: the shop's server with minimal endpoints.

`python -m bench.bare --fd N` differs from `flashsale.web` only in its application:

    /write          one Redis script call with the writes of an accepted click, and no checks
    /write-by-pool  the same over redis-py's pool of 64 connections
    /read           one script call with the reads of a refusal
    /read-little    one script call with the reads of a refusal by a sale that is not open
    /bytes/N        N bytes
"""

import argparse
import os
import re
import socket
from functools import cache
from hashlib import sha1
from typing import Any

import redis.asyncio
from django.conf import settings

from flashsale import garbage
from flashsale.http import listening
from flashsale.http import server as http_server
from flashsale.http.endpoint import WHOLE
from flashsale.observe import telemetry
from flashsale.redis import web_connections

# The writes of `admit`, without its checks.
WRITING = """
local entry = redis.call('XADD', KEYS[7], '*',
    'purchase', ARGV[1], 'shopper', ARGV[2], 'sku', ARGV[3], 'quantity', ARGV[4])
redis.call('HSET', KEYS[6], ARGV[1], 'queued||' .. ARGV[2] .. '|' .. ARGV[3] .. '|1|' .. entry)
redis.call('HINCRBY', KEYS[3], ARGV[3], ARGV[4])
redis.call('HINCRBY', KEYS[5], ARGV[2], ARGV[4])
redis.call('HSET', KEYS[9], ARGV[2], ARGV[1])
return {'queued', redis.call('SETNX', KEYS[8], entry)}
"""
# The reads of `admit` before it refuses: because the sale is not open, or because of stock or limit.
READING_LITTLE = """
redis.call('HMGET', KEYS[1], 'ready', 'status', 'opens_at', 'closes_at', 'limit')
redis.call('HGET', KEYS[6], ARGV[1])
redis.call('HGET', KEYS[2], ARGV[3])
redis.call('TIME')
return {'refused', 'closed'}
"""
READING = """
redis.call('HMGET', KEYS[1], 'ready', 'status', 'opens_at', 'closes_at', 'limit')
redis.call('HGET', KEYS[6], ARGV[1])
redis.call('HGET', KEYS[2], ARGV[3])
redis.call('TIME')
redis.call('HGET', KEYS[4], ARGV[2])
redis.call('HGET', KEYS[5], ARGV[2])
redis.call('HGET', KEYS[3], ARGV[3])
return {'refused', 'sold_out'}
"""
TAG = "{bare}"
_NAMES = (
    "gate",
    "stock",
    "in_flight",
    "bought",
    "in_flight_by_shopper",
    "answers",
    "line",
    "bell",
    "recent",
)
_KEYS = [f"{TAG}:{name}" for name in _NAMES]
_BYTES = re.compile(r"\A/bytes/(\d{1,7})\Z")
_ANSWER = b'{"purchase": "00000000-0000-0000-0000-000000000000", "status": "queued"}'


def digest(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


_SCRIPTS = {
    "/write": (digest(WRITING), 202),
    "/read": (digest(READING), 409),
    "/read-little": (digest(READING_LITTLE), 409),
}
_BY_POOL = "/write-by-pool"


@cache
def _pool() -> redis.asyncio.Redis:
    pool = redis.asyncio.BlockingConnectionPool.from_url(settings.REDIS_URL, max_connections=64)
    return redis.asyncio.Redis.from_pool(pool)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        await _run_lifespan(receive, send)
        return
    status, body = 200, b""
    arguments = (*_KEYS, os.urandom(16).hex(), os.urandom(16).hex(), "shoe", "1")
    if scope["path"] in _SCRIPTS:
        script, status = _SCRIPTS[scope["path"]]
        await web_connections.send(0, "EVALSHA", script, 9, *arguments)
        body = _ANSWER
    elif scope["path"] == _BY_POOL:
        script, status = _SCRIPTS["/write"]
        await _pool().evalsha(script, 9, *arguments)
        body = _ANSWER
    elif asked := _BYTES.match(scope["path"]):
        body = b"x" * int(asked[1])
    # The same fast path as the shop's answers, so that the server does not lower the limit.
    head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    scope["extensions"][WHOLE](status, head, body)  # False if the client has gone


async def _run_lifespan(receive: Any, send: Any) -> None:
    """Announce this process in the telemetry when it begins to serve."""
    await receive()
    telemetry.start("bare")
    garbage.freeze_loaded_objects()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    listening.allow_many_sockets()
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket's descriptor")
    listener = socket.socket(fileno=parser.parse_args().fd)
    http_server.serve(listener, application)


if __name__ == "__main__":
    main()
