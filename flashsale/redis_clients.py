"""The connections to the Redis of the gate and the line, and to that of telemetry.

Time-outs and retries are chosen on purpose: redis-py 8 by itself sends a command that timed out up to
ten more times. Ours send it once more where the connection was found broken (a restarted server), which
the idempotent scripts allow, and never after a time-out.
"""

import asyncio
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry


class NotSent(redis.ConnectionError):
    """Redis cannot be reached: the command was not sent, so nothing has happened."""


TIMEOUT = 2.0  # seconds until a silent Redis counts as gone
_CONNECTIONS = 64  # per process; further commands wait for a free one

_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


@cache
def blocking() -> redis.Redis:
    """For workers and commands: thread-safe, one per process."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_timeout=5,  # the rebuild tells thousands of answers in one script
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


@cache
def telemetry() -> redis.Redis:
    """For figures to look at, beside the cache: nobody waits for them for long."""
    return redis.Redis.from_url(
        settings.CACHE_URL,
        decode_responses=True,
        encoding_errors="replace",  # other programs may write there
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


def nonblocking() -> redis.asyncio.Redis:
    """For the server processes: one per event loop."""
    loop = asyncio.get_running_loop()
    client = _by_loop.get(loop)
    if client is None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            settings.REDIS_URL,
            max_connections=_CONNECTIONS,
            timeout=TIMEOUT,
            decode_responses=True,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=1,
            retry=AsyncRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        client = _by_loop[loop] = redis.asyncio.Redis.from_pool(pool)
    return client


async def send(*command: str | int) -> Any:
    """One command and its reply.

    Raises NotSent where Redis could not be reached, another redis.RedisError where the command may or
    may not have been carried out.
    """
    pool = nonblocking().connection_pool
    try:
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py
    except (redis.RedisError, OSError) as error:
        raise NotSent(str(error)) from error
    try:
        await connection.send_command(*command)
        return await connection.read_response()
    except OSError as error:
        raise redis.ConnectionError(str(error)) from error
    finally:
        await pool.release(connection)
