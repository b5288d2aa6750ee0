"""A Redis that refuses to be written to: known by its answer, and asked again over another connection."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis

from flashsale.redis import client_factory, web_connections
from flashsale.redis.refusals import describe, refusal, send_probe
from tests import read_only, servers
from tests.cast import in_loop
from tests.read_only import ReadOnly

UNWRITABLE = {
    "it is a replica": read_only.as_replica,
    "it has fewer replicas than min-replicas-to-write": read_only.without_replicas,
    "its user may not write": read_only.without_permission,
    "its last write to disk has failed": read_only.after_a_failed_snapshot,
}


def client() -> redis.Redis:
    return client_factory.client(servers.VALKEY.url, timeout=5, connect_timeout=5)


def set_in_pipeline(one: redis.Redis, *, transaction: bool) -> None:
    with one.pipeline(transaction=transaction) as pipe:
        pipe.get("nothing")
        pipe.set("refused", "x")
        pipe.execute()


WRITES: dict[str, Callable[[redis.Redis], object]] = {
    "command": lambda one: one.set("refused", "x"),
    "script": lambda one: one.eval("return redis.call('SET', KEYS[1], 'x')", 1, "refused"),
    "pipeline": partial(set_in_pipeline, transaction=False),
    "transaction": partial(set_in_pipeline, transaction=True),
    "probe": send_probe,
}


@pytest.mark.parametrize(("why", "unwritable"), UNWRITABLE.items())
@pytest.mark.parametrize("kind", WRITES)
def test_a_refusal_is_known_by_its_answer(why: str, unwritable: ReadOnly, kind: str) -> None:
    with unwritable(), pytest.raises(redis.RedisError) as refused:
        WRITES[kind](client())
    found = refusal(refused.value)
    assert found is not None
    assert found.why == why
    assert describe(refused.value) == f"cannot be written to ({why})"
    assert client().get("refused") is None


def test_the_probe_changes_nothing() -> None:
    before = client().info("persistence")["aof_current_size"]
    send_probe(client())
    send_probe(client(), needs_memory=False)
    assert client().info("persistence")["aof_current_size"] == before


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("Connection refused"),
        redis.ResponseError("WRONGTYPE Operation against a key"),
        redis.ResponseError("ERR READONLY is no command"),
        ValueError("READONLY You can't write against a read only replica."),
    ],
)
def test_other_errors_are_none(error: Exception) -> None:
    assert refusal(error) is None


def test_a_client_asks_again_over_another_connection() -> None:
    one = client_factory.client(servers.VALKEY.url, timeout=5, connect_timeout=5, resend=True)
    before = one.client_id()
    with read_only.as_replica(), pytest.raises(redis.exceptions.ReadOnlyError):
        one.set("refused", "x")
    assert one.client_id() != before


def test_a_client_keeps_its_connection_when_a_command_is_wrong() -> None:
    one = client_factory.client(servers.VALKEY.url, timeout=5, connect_timeout=5, resend=True)
    one.set("text", "x", px=5000)
    before = one.client_id()
    with pytest.raises(redis.ResponseError):
        one.incr("text")
    assert one.client_id() == before


def test_a_web_process_opens_another_pipe_and_answers_who_waits_on_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_connections, "_KEPT", 0.0)

    async def ask() -> tuple[int, list[Any], int]:
        before = await web_connections.send(0, "CLIENT", "ID")
        with read_only.as_replica():
            questions = [("SET", "refused", "x"), *[("ECHO", number) for number in range(50)]]
            replies = await asyncio.gather(
                *(web_connections.send(0, *question) for question in questions),
                return_exceptions=True,
            )
        return before, replies, await web_connections.send(0, "CLIENT", "ID")

    before, (refused, *others), after = in_loop(ask)
    assert isinstance(refused, redis.exceptions.ReadOnlyError)
    assert others == [str(number) for number in range(50)]
    assert before != after
