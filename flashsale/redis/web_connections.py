"""How web processes reach the Redis of gates and lines: one shared connection per event loop and server.

A command is never resent: the shopper's page sends the same ticket again. Workers and commands use
`blocking_clients.py` instead.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import AskError
from redis.maint_notifications import MaintNotificationsConfig

from flashsale.concurrency import PerLoop, SingleFlight
from flashsale.redis import refusals
from flashsale.redis import servers as servers_module
from flashsale.redis.pipe import Command, NotSent, Pipe

TIMEOUT = 2.0  # seconds until a Redis that does not reply counts as down
_KEPT = 1.0  # seconds for which a connection is kept whatever its server refuses


async def send(sale: int, *command: str | int) -> Any:
    """Send one command to the server that has the sale, and return its reply.

    Raises NotSent if Redis was not reached, another redis.RedisError if Redis refused the command or if
    its outcome is unknown.
    """
    url = await _url_of(sale)
    [reply] = await _send_to(url, (command,))
    _raise_failure(reply, url)
    return reply


async def send_together(sale: int, *commands: Command) -> list[Any]:
    """Send commands as one transaction (MULTI), and return their replies. Raises as `send` does."""
    url = await _url_of(sale)
    *queued, carried_out = await _send_to(url, (("MULTI",), *commands, ("EXEC",)))
    # Raise the first error, which has the reason; later ones only say that the transaction was discarded.
    for reply in (*queued, carried_out):
        _raise_failure(reply, url)
    for reply in carried_out:
        _raise_failure(reply, url)
    return list(carried_out)


async def probe_all() -> dict[str, redis.RedisError | None]:
    """Ask every server whether it can be written to. Returns, by address, the error of one that does not
    answer or refuses, or None."""
    try:
        servers = await servers_module.current_in_loop()
    except redis.RedisError as error:
        return {servers_module.address_of(settings.REDIS_URL): error}
    failures = await asyncio.gather(*(_probe(servers, url) for url in servers.urls))
    return dict(zip(map(servers_module.address_of, servers.urls), failures, strict=True))


async def _probe(servers: servers_module.Servers, url: str) -> redis.RedisError | None:
    try:
        [reply] = await _send_to(url, (refusals.probe(servers.tag_on(url)),))
        _raise_failure(reply, url)
    except redis.RedisError as error:
        # A slot that has moved says nothing about the server.
        return None if isinstance(error.__cause__, AskError) else error
    return None


def _raise_failure(reply: Any, url: str) -> None:
    """Raise the reply if it is an error; `url` is that of the server that sent it."""
    if not isinstance(reply, Exception):
        return
    if refusals.refusal(reply):
        _replace_pipe(url)
    if isinstance(reply, servers_module.NOT_HERE):
        raise NotSent(str(reply)) from reply
    raise reply


def _replace_pipe(url: str) -> None:
    """Let the next command open a connection, which may reach the server's successor; at most once in
    `_KEPT` seconds. Who waits for replies on the old one still gets them."""
    pipe = _pipes.get().get(url)
    if pipe is not None and pipe.age > _KEPT:
        del _pipes.get()[url]
        asyncio.get_running_loop().call_later(2 * TIMEOUT, pipe.close)


async def _url_of(sale: int) -> str:
    try:
        return (await servers_module.current_in_loop()).of(sale)
    except redis.RedisError as error:
        raise NotSent(str(error)) from error


async def _send_to(url: str, commands: Sequence[Command]) -> list[Any]:
    pipe = _pipes.get().get(url)
    if pipe is None or not pipe.usable:
        try:
            pipe = await _opening.get()(url)
        except (redis.RedisError, OSError) as error:
            raise NotSent(str(error)) from error
    return await pipe.send(commands)


async def _open(url: str) -> Pipe:
    """Open this process' connection to one server."""
    pool = redis.asyncio.ConnectionPool.from_url(
        url,
        protocol=2,  # so that hashes are lists, with any server's version
        socket_timeout=TIMEOUT,
        socket_connect_timeout=1,
        retry=AsyncRetry(NoBackoff(), 0),
        # With them redis-py keeps connections that a restart has broken.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    # Connecting takes several commands, each with a time-out of its own.
    async with asyncio.timeout(TIMEOUT):
        pipe = await Pipe.open(pool, TIMEOUT)
    _pipes.get()[url] = pipe
    return pipe


# By server's URL.
_pipes: PerLoop[dict[str, Pipe]] = PerLoop(dict)
_opening: PerLoop[SingleFlight[str, Pipe]] = PerLoop(lambda: SingleFlight(_open))


async def close_pipes() -> None:
    """Close the pipes of the running loop."""
    _opening.pop()
    for pipe in (_pipes.pop() or {}).values():
        pipe.close()
