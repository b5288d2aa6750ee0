"""Which Redis has a sale: read from a real server, and read again in time."""

import asyncio
import threading
from pathlib import Path

import pytest
import redis
from pytest_django import Settings

from flashsale.redis import servers as redis_servers
from flashsale.redis import servers as servers_module
from flashsale.redis.servers import Servers
from ops.tests.test_doctor import valkey
from tests import deadlines
from tests.stack import wait_for

ALL, MISSING = (0, 16383), 12345
SLOTS = {1: 4774, 2: 8901, 3: 13028}  # of sales


@pytest.fixture(autouse=True)
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_servers, "_last", redis_servers._UNSEEN)
    monkeypatch.setattr(redis_servers, "_order", ())


def test_one_server_has_every_sale(settings: Settings) -> None:
    assert servers_module.current() == Servers((settings.REDIS_URL,))
    assert asyncio.run(servers_module.current_in_loop()).of(7) == settings.REDIS_URL


def test_a_sale_is_where_its_keys_are() -> None:
    servers = Servers(("a", "b"), (8191, 16383), ("a", "b"))
    assert [servers.of(sale) for sale in SLOTS] == ["a", "b", "b"]


def test_a_cluster_says_who_has_what(settings: Settings, tmp_path: Path) -> None:
    with valkey(tmp_path, "--cluster-enabled", "yes") as url:
        settings.REDIS_URL, settings.REDIS_CLUSTER = url, True
        client = redis.Redis.from_url(url, decode_responses=True)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", *ALL)  # type: ignore[no-untyped-call]  # redis-py
        with pytest.raises(redis.ConnectionError, match="no part of a working cluster"):
            redis_servers.read(url)  # it takes its time to believe in itself
        wait_for(lambda: covered(client), "it has all slots")
        for sale, slot in SLOTS.items():
            asked = client.execute_command("CLUSTER", "KEYSLOT", f"{{sale:{sale}}}:line")  # type: ignore[no-untyped-call]  # redis-py
            assert asked == slot
        found = servers_module.current()
        assert found.urls == (url.removesuffix("/0") + "/0",)
        assert found.of(1) == found.urls[0]
        client.execute_command("CLUSTER", "DELSLOTS", MISSING)  # type: ignore[no-untyped-call]  # redis-py
        with pytest.raises(redis.ConnectionError, match=f"slot {MISSING}"):
            redis_servers.read(url)


def covered(client: redis.Redis) -> bool:
    info = client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]  # redis-py
    return "cluster_slots_ok:16384" in info and "cluster_state:ok" in info


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.7", "rediss://me:a%40b@10.0.0.7:7001/0"),
        ("::7", "rediss://me:a%40b@[::7]:7001/0"),
        ("", "rediss://me:a%40b@10.0.0.6:7001/0"),
    ],
)
def test_the_others_are_asked_as_the_one_that_is_named(host: str, expected: str) -> None:
    assert redis_servers._url(host, 7001, "rediss://me:a%40b@10.0.0.6:6379/0") == expected


def test_servers_that_have_no_address_are_no_map() -> None:
    with pytest.raises(redis.ConnectionError, match="does not say where"):
        redis_servers._url("?", 7001, "redis://10.0.0.6:6379/0")


def test_the_map_is_read_again_and_an_old_one_is_better_than_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_CLUSTER = True
    first, second = Servers(("a",)), Servers(("b",))
    answers: list[Servers | redis.ConnectionError] = [first]

    def read(url: str) -> Servers:
        if isinstance(answers[0], redis.ConnectionError):
            raise answers[0]
        return answers[0]

    monkeypatch.setattr(redis_servers, "read", read)
    assert servers_module.current() == first
    answers[:] = [second]
    assert servers_module.current() == first  # not asked yet
    monkeypatch.setattr(redis_servers, "READ_EVERY", 0.0)
    assert servers_module.current() == second
    answers[:] = [redis.ConnectionError("away")]
    assert servers_module.current() == second
    answers[:] = [first]

    async def ask() -> Servers:
        return await servers_module.current_in_loop()

    wait_for(
        lambda: asyncio.run(ask()) == first, "a loop goes on with the old one, and gets the new"
    )


def test_a_cluster_that_was_never_seen_is_away(settings: Settings) -> None:
    settings.REDIS_CLUSTER, settings.REDIS_URL = True, "redis://127.0.0.1:1/0"
    with pytest.raises(redis.ConnectionError):
        servers_module.current()
    with pytest.raises(redis.ConnectionError):
        asyncio.run(servers_module.current_in_loop())


def test_a_cluster_that_says_nothing_is_waited_for_once_by_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_CLUSTER = True
    monkeypatch.setattr(redis_servers, "_PATIENCE", 0.05)
    asked, go_on = [], threading.Event()

    def read(url: str) -> Servers:
        asked.append(url)
        go_on.wait(deadlines.seconds(30))
        raise redis.TimeoutError("nothing")

    async def click_often() -> list[BaseException | Servers]:
        clicks = (servers_module.current_in_loop() for _ in range(20))
        answers = await asyncio.gather(*clicks, return_exceptions=True)
        go_on.set()
        return answers

    monkeypatch.setattr(redis_servers, "read", read)
    answers = asyncio.run(click_often())
    assert all(isinstance(answer, redis.TimeoutError) for answer in answers)
    assert len(asked) == 1


def test_who_does_not_answer_is_asked_last(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_CLUSTER, settings.REDIS_URL = True, "a"
    monkeypatch.setattr(redis_servers, "READ_EVERY", 0.0)
    asked: list[str] = []

    def read(url: str) -> Servers:
        asked.append(url)
        if url == "a" and len(asked) > 1:
            raise redis.TimeoutError("nothing")
        return Servers(("a", "b"))

    monkeypatch.setattr(redis_servers, "read", read)
    for _ in range(4):
        assert servers_module.current() == Servers(("a", "b"))
    assert asked == ["a", "a", "b", "b", "b"]
