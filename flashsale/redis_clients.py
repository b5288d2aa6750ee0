"""The connections to the Redis of the gate and the line, and to that of telemetry.

Time-outs and retries are chosen on purpose: redis-py 8 by itself sends a command that timed out up to
ten more times. Those that may block send it once more where the connection was found broken (a restarted
server), which the idempotent scripts allow, and never after a time-out. Server processes never do: there
whoever clicked asks again, with the same ticket.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from flashsale.pipe import Command, NotSent, Pipe

TIMEOUT = 2.0  # seconds until a silent Redis counts as gone


@cache
def blocking() -> redis.Redis:
    """For workers and commands: thread-safe, one per process."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        encoding_errors="surrogateescape",  # what is not of our making can be read, and taken out
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


# For the server processes: one per event loop.
_pipes: WeakKeyDictionary[asyncio.AbstractEventLoop, Pipe] = WeakKeyDictionary()
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Pipe]] = WeakKeyDictionary()


async def send(*command: str | int) -> Any:
    """One command and its reply.

    Raises NotSent where Redis could not be reached, another redis.RedisError where the command may or
    may not have been carried out.
    """
    [reply] = await _ask((command,))
    if isinstance(reply, Exception):
        raise reply
    return reply


async def send_together(*commands: Command) -> list[Any]:
    """The replies to commands that are carried out with nothing between them. Raises as `send` does."""
    *queued, carried_out = await _ask((("MULTI",), *commands, ("EXEC",)))
    refused = isinstance(carried_out, Exception)
    # The first says why; those behind it, that they were not tried.
    for reply in (*queued, *([carried_out] if refused else carried_out)):
        if isinstance(reply, Exception):
            raise reply
    return list(carried_out)


async def _ask(commands: Sequence[Command]) -> list[Any]:
    pipe = _pipes.get(asyncio.get_running_loop())
    if pipe is None or not pipe.usable:
        try:
            pipe = await _opened()
        except (redis.RedisError, OSError) as error:
            raise NotSent(str(error)) from error
    return await pipe.send(commands)


async def _opened() -> Pipe:
    """A new pipe. However many want one, one is opened."""
    loop = asyncio.get_running_loop()
    opening = _opening.get(loop)
    if opening is None or opening.done():
        opening = _opening[loop] = asyncio.ensure_future(_open())
    return await asyncio.shield(opening)


async def _open() -> Pipe:
    connecting = redis.asyncio.ConnectionPool.from_url(
        settings.REDIS_URL,
        protocol=2,  # hashes come as lists, from whatever server
        socket_timeout=TIMEOUT,
        socket_connect_timeout=1,
        retry=AsyncRetry(NoBackoff(), 0),
        # With these redis-py keeps connections that a restart has broken.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    # Connecting is several questions, each with a time-out of its own.
    async with asyncio.timeout(TIMEOUT):
        pipe = await Pipe.open(connecting, TIMEOUT)
    _pipes[asyncio.get_running_loop()] = pipe
    return pipe


async def hang_up() -> None:
    """Closes the pipe of the running loop."""
    loop = asyncio.get_running_loop()
    _opening.pop(loop, None)
    pipe = _pipes.pop(loop, None)
    if pipe is not None:
        pipe.close()
