"""One shared connection: each caller gets its own replies, or an error that says that the outcome
is unknown."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
import redis.asyncio
from django.conf import settings

from flashsale.redis import blocking_clients, pipe
from flashsale.redis import web_connections as redis_clients
from flashsale.redis.pipe import NotSent, Pipe
from tests import stack
from tests.cast import in_loop

KEY = "test:pipe"
PATIENCE = 0.3  # seconds


async def opened(reply_timeout: float = 10) -> Pipe:
    pool = redis.asyncio.ConnectionPool.from_url(settings.REDIS_URL, protocol=2)
    return await Pipe.open(pool, reply_timeout)


def piped(work: Callable[[Pipe], Awaitable[Any]], reply_timeout: float = 10) -> Any:
    """Runs `work` with a pipe of its own."""

    async def work_and_close() -> Any:
        one = await opened(reply_timeout)
        try:
            return await work(one)
        finally:
            one.close()

    return in_loop(work_and_close)


def test_a_crowd_gets_each_its_own_replies() -> None:
    async def ask(one: Pipe) -> list[list[Any]]:
        return await asyncio.gather(*(one.send([("ECHO", n)] * (n % 3 + 1)) for n in range(1000)))

    assert piped(ask) == [[str(n)] * (n % 3 + 1) for n in range(1000)]


def test_a_cancelled_caller_takes_no_other_callers_reply() -> None:
    async def ask(one: Pipe) -> list[list[Any]]:
        asked = [asyncio.ensure_future(one.send([("ECHO", n)])) for n in range(100)]
        await asyncio.sleep(0)
        for task in asked[::2]:
            task.cancel()
        return await asyncio.gather(*asked[1::2])

    assert piped(ask) == [[str(n)] for n in range(1, 100, 2)]


def test_what_redis_refuses_is_for_who_asked() -> None:
    async def ask(one: Pipe) -> list[list[Any]]:
        questions = ([("ECHO", "a")], [("NO", "SUCH")], [("EVALSHA", "f" * 40, 0)], [("ECHO", "b")])
        return await asyncio.gather(*(one.send(question) for question in questions))

    before, refused, unknown, after = piped(ask)
    assert (before, after) == (["a"], ["b"])
    assert isinstance(refused[0], redis.ResponseError)
    assert isinstance(unknown[0], redis.exceptions.NoScriptError)


def test_a_silent_redis_is_given_up_and_everybody_is_told() -> None:
    client = blocking_clients.client_of(0)

    async def ask(one: Pipe) -> tuple[list[Any], bool]:
        await asyncio.to_thread(client.client_pause, 2000)
        try:
            questions = (one.send([("SET", KEY, "x")]) for _ in range(10))
            return await asyncio.gather(*questions, return_exceptions=True), one.usable
        finally:
            await asyncio.to_thread(client.client_unpause)

    replies, usable = piped(ask, PATIENCE)
    assert [type(one) for one in replies] == [redis.TimeoutError] * 10
    assert not usable


def blocked(number: int) -> bool:
    clients = blocking_clients.client_of(0).client_list()
    return any(int(one["id"]) == number and one["cmd"] == "blpop" for one in clients)


def test_a_broken_connection_leaves_the_outcome_unknown() -> None:
    client = blocking_clients.client_of(0)

    async def ask(one: Pipe) -> Any:
        [number] = await one.send([("CLIENT", "ID")])
        waiting = asyncio.ensure_future(one.send([("BLPOP", KEY, 30)]))
        behind = asyncio.ensure_future(one.send([("ECHO", "never")]))
        await asyncio.to_thread(stack.wait_for, lambda: blocked(number), "it waits for a list")
        await asyncio.to_thread(client.client_kill_filter, _id=number)
        return await asyncio.gather(waiting, behind, return_exceptions=True)

    replies = piped(ask)
    assert [type(one) for one in replies] == [redis.ConnectionError] * 2


def test_more_than_redis_can_owe_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "MOST_WAITING", 5)
    client = blocking_clients.client_of(0)
    client.delete(KEY)

    async def ask(one: Pipe) -> Any:
        questions = (one.send([("INCR", KEY)]) for _ in range(8))
        return await asyncio.gather(*questions, return_exceptions=True)

    replies = piped(ask)
    assert [type(one) for one in replies[5:]] == [NotSent] * 3
    assert client.get(KEY) == "5"
    client.delete(KEY)


def test_the_next_question_after_a_broken_connection_opens_another() -> None:
    client = blocking_clients.client_of(0)

    async def ask() -> tuple[Any, Any]:
        first = await redis_clients.send(0, "CLIENT", "ID")
        await asyncio.to_thread(client.client_kill_filter, _id=first)
        one = redis_clients._pipes.get()[settings.REDIS_URL]
        await asyncio.to_thread(stack.wait_for, lambda: not one.usable, "the loop has noticed")
        return first, await redis_clients.send(0, "CLIENT", "ID")

    first, second = in_loop(ask)
    assert first != second


def test_a_redis_that_cannot_be_reached_was_sent_nothing(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    async def ask() -> list[Any]:
        questions = (redis_clients.send(0, "PING") for _ in range(3))
        return await asyncio.gather(*questions, return_exceptions=True)

    assert [type(one) for one in in_loop(ask)] == [NotSent] * 3


def test_what_is_asked_together_comes_together_or_fails() -> None:
    blocking_clients.client_of(0).delete(KEY)

    async def ask() -> tuple[list[Any], Any]:
        together = await redis_clients.send_together(0, ("SET", KEY, "1"), ("INCR", KEY))
        wrong = redis_clients.send_together(0, ("INCR", KEY), ("HGETALL", KEY))
        return together, (await asyncio.gather(wrong, return_exceptions=True))[0]

    together, wrong = in_loop(ask)
    assert together == ["OK", 2]
    assert isinstance(wrong, redis.ResponseError)
    blocking_clients.client_of(0).delete(KEY)
