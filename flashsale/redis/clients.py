"""The connections to the Redis of the gate and the line, and to that of telemetry.

Clients that may block send a command once more where the connection was found broken (see
`connecting`). Server processes never do: there whoever clicked asks again, with the same ticket.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from flashsale.concurrency import PerLoop, SingleFlight
from flashsale.redis import connecting
from flashsale.redis import servers as redis_servers
from flashsale.redis import servers as servers_module
from flashsale.redis.pipe import Command, NotSent, Pipe

TIMEOUT = 2.0  # seconds until a silent Redis counts as gone


def client_of(sale: int) -> redis.Redis:
    """For workers and commands, to the server that has the sale: thread-safe, one per process."""
    return _client(servers_module.current().of(sale))


def group_by_server(sales: Iterable[int]) -> list[tuple[redis.Redis, list[int]]]:
    """Every server with those of these sales that it has."""
    servers = servers_module.current()
    shares: dict[str, list[int]] = {url: [] for url in servers.urls}
    for sale in sales:
        shares[servers.of(sale)].append(sale)
    return [(_client(url), share) for url, share in shares.items()]


@cache
def _client(url: str) -> redis.Redis:
    return connecting.client(
        url,
        timeout=5,  # the rebuild tells thousands of answers in one script
        connect_timeout=1,
        resend=True,
        encoding_errors="surrogateescape",  # what is not of our making can be read, and taken out
    )


@cache
def telemetry_client() -> redis.Redis:
    """For figures to look at, beside the cache: nobody waits for them for long."""
    return connecting.client(
        settings.CACHE_URL,
        timeout=1,
        connect_timeout=1,
        resend=True,
        encoding_errors="replace",  # other programs may write there
    )


async def send(sale: int, *command: str | int) -> Any:
    """One command to the server that has the sale, and its reply.

    Raises NotSent where Redis could not be reached, another redis.RedisError where the command may or
    may not have been carried out.
    """
    [reply] = await _ask(await _of(sale), (command,))
    _raise(reply)
    return reply


async def send_together(sale: int, *commands: Command) -> list[Any]:
    """The replies to commands that are carried out with nothing between them. Raises as `send` does."""
    *queued, carried_out = await _ask(await _of(sale), (("MULTI",), *commands, ("EXEC",)))
    # The first says why; those behind it, that they were not tried.
    for reply in (*queued, carried_out):
        _raise(reply)
    for reply in carried_out:
        _raise(reply)
    return list(carried_out)


async def ping_all() -> dict[str, redis.RedisError | None]:
    """Every server, by where it is, and why it does not answer."""
    try:
        urls = (await servers_module.current_in_loop()).urls
    except redis.RedisError as error:
        return {servers_module.address_of(settings.REDIS_URL): error}
    failures = await asyncio.gather(*map(_failure, urls))
    return dict(zip(map(servers_module.address_of, urls), failures, strict=True))


async def _failure(url: str) -> redis.RedisError | None:
    try:
        _raise(*await _ask(url, (("PING",),)))
    except redis.RedisError as error:
        return error
    return None


def _raise(reply: Any) -> None:
    if isinstance(reply, redis_servers.NOT_HERE):
        raise NotSent(str(reply)) from reply
    if isinstance(reply, Exception):
        raise reply


async def _of(sale: int) -> str:
    try:
        return (await servers_module.current_in_loop()).of(sale)
    except redis.RedisError as error:
        raise NotSent(str(error)) from error


async def _ask(url: str, commands: Sequence[Command]) -> list[Any]:
    pipe = _pipes.get().get(url)
    if pipe is None or not pipe.usable:
        try:
            pipe = await _opening.get()(url)
        except (redis.RedisError, OSError) as error:
            raise NotSent(str(error)) from error
    return await pipe.send(commands)


async def _open(url: str) -> Pipe:
    pool = redis.asyncio.ConnectionPool.from_url(
        url,
        protocol=2,  # hashes come as lists, from whatever server
        socket_timeout=TIMEOUT,
        socket_connect_timeout=1,
        retry=AsyncRetry(NoBackoff(), 0),
        # With these redis-py keeps connections that a restart has broken.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    # Connecting is several questions, each with a time-out of its own.
    async with asyncio.timeout(TIMEOUT):
        pipe = await Pipe.open(pool, TIMEOUT)
    _pipes.get()[url] = pipe
    return pipe


# For the server processes, by server.
_pipes: PerLoop[dict[str, Pipe]] = PerLoop(dict)
_opening: PerLoop[SingleFlight[str, Pipe]] = PerLoop(lambda: SingleFlight(_open))


async def close_pipes() -> None:
    """Closes the pipes of the running loop."""
    _opening.pop()
    for pipe in (_pipes.pop() or {}).values():
        pipe.close()
