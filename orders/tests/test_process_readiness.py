"""A web process is ready once a click would be accepted and decided, and stays so."""

import dataclasses
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from django.utils import timezone
from pytest_django import Settings

from conftest import MakeSale
from flashsale.observe import telemetry_reader
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.gate.scripts import keys
from inventory.models import Sale
from orders import caretaker, process_readiness
from tests import servers, stack
from tests.cast import Shopper, all_that_opening_needs, in_loop

# Apart from the workers of other tests.
APART = urlsplit(servers.VALKEY.url)._replace(path="/7").geturl()


def missing(first_readiness: process_readiness.FirstReadiness) -> dict[str, str]:
    return in_loop(first_readiness.missing)


@pytest.fixture
def apart() -> Iterator[redis.Redis]:
    """A cache of this test's own."""
    client = redis.Redis.from_url(APART)
    client.flushdb()
    yield client
    client.flushdb()


@pytest.fixture
def first_readiness() -> Iterator[process_readiness.FirstReadiness]:
    """Of a process that has everything it needs and has not checked yet."""
    with all_that_opening_needs():
        yield process_readiness.FirstReadiness()


class TestProcesses:
    """The real web process and worker; the web process starts first."""

    def test_not_ready_before_a_worker_and_ready_gates_then_the_first_click_is_accepted(
        self, apart: redis.Redis, make_sale: MakeSale, capfd: pytest.CaptureFixture[str]
    ) -> None:
        sale = make_sale()
        replica.begin_epoch([sale.pk], replica.new_epoch())
        with stack.Web.running(CACHE_URL=APART) as web:
            first = httpx.get(f"{web.url}/readyz")
            assert (first.status_code, first.json()["worker"]) == (503, "not seen")
            assert sale.slug in first.json()["gates"]
            with stack.worker(CACHE_URL=APART):
                stack.wait_for(lambda: ready(web), "it is ready")
                assert Shopper(web.url).buy(sale).status_code == 202
            apart.flushdb()  # as a minute after the worker has gone
            replica.begin_epoch([sale.pk], replica.new_epoch())
            again = httpx.get(f"{web.url}/readyz")
            assert (again.status_code, again.json()) == (200, ALL_WELL)
        assert "/readyz" not in capfd.readouterr().err


ALL_WELL = {"ready": True, "postgresql": "ok", "redis": "ok"}


def ready(web: stack.Web) -> bool:
    return httpx.get(f"{web.url}/readyz", timeout=10).status_code == 200


class TestGates:
    def test_nothing_is_missing_where_all_is_there(
        self, first_readiness: process_readiness.FirstReadiness, make_sale: MakeSale
    ) -> None:
        make_sale()
        assert missing(first_readiness) == {}

    @pytest.mark.parametrize("what", ["not_ready", "another epoch", "behind", "ahead", "corrupt"])
    def test_one_that_is_not_ready_is_named(
        self, first_readiness: process_readiness.FirstReadiness, make_sale: MakeSale, what: str
    ) -> None:
        sale = make_sale()
        key, server = keys(sale.pk).gate, blocking_clients.client_of(sale.pk)
        if what == "not_ready":
            server.hset(key, "ready", "0")
        elif what == "another epoch":
            Sale.objects.filter(pk=sale.pk).update(epoch=replica.new_epoch())
        elif what == "corrupt":
            server.hset(key, "corrupt", "1")
        else:
            server.hset(key, "version", sale.version + (1 if what == "ahead" else -1))
        assert missing(first_readiness) == {"gates": f"1 not ready: {sale.slug}"}
        caretaker.heal_all()
        assert missing(first_readiness) == {}

    def test_none_is_believed_before_redis_knows_the_scripts(
        self, first_readiness: process_readiness.FirstReadiness, make_sale: MakeSale
    ) -> None:
        """After a restart gates look as before, but every click gets 503."""
        sale = make_sale()
        blocking_clients.client_of(sale.pk).script_flush()
        assert missing(first_readiness)["gates"].startswith("1 not ready")
        caretaker.heal_all()
        assert missing(first_readiness) == {}

    @pytest.mark.parametrize("when", ["draft", "upcoming", "ended"])
    def test_only_those_of_open_sales_are_waited_for(
        self, first_readiness: process_readiness.FirstReadiness, make_sale: MakeSale, when: str
    ) -> None:
        sale = make_sale(live=when != "draft", opens_in=60 if when == "upcoming" else -60)
        if when == "ended":
            Sale.objects.filter(pk=sale.pk).update(closes_at=timezone.now())
        blocking_clients.client_of(sale.pk).delete(keys(sale.pk).gate)
        assert missing(first_readiness) == {}

    def test_each_is_waited_for_once(
        self, first_readiness: process_readiness.FirstReadiness, make_sale: MakeSale
    ) -> None:
        """In a rush some gate is always a moment behind."""
        first, second = make_sale(), make_sale()
        replica.begin_epoch([second.pk], replica.new_epoch())
        assert missing(first_readiness) == {"gates": f"1 not ready: {second.slug}"}
        caretaker.heal_all()
        replica.begin_epoch([first.pk], replica.new_epoch())
        assert missing(first_readiness) == {}

    def test_a_server_of_a_cluster_that_is_away_keeps_nobody_else_waiting(
        self,
        first_readiness: process_readiness.FirstReadiness,
        make_sale: MakeSale,
        monkeypatch: pytest.MonkeyPatch,
        settings: Settings,
    ) -> None:
        sale = make_sale()
        monkeypatch.setattr(replica, "knows_scripts", away)
        assert missing(first_readiness) == {"gates": "not known (ConnectionError)"}
        server = blocking_clients.client_of(sale.pk)
        settings.REDIS_CLUSTER = True
        assert process_readiness._ready_of(server, [sale.pk]) == {sale.pk}


def away(*_: object) -> bool:
    raise redis.ConnectionError("away")


class TestWorker:
    def test_one_that_was_heard_of_too_long_ago_is_none(
        self, first_readiness: process_readiness.FirstReadiness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard = [
            telemetry_reader.Process(
                "worker", "here", 1, age=telemetry_reader.ALIVE + 1, gauges={}
            ),
            telemetry_reader.Process("web", "here", 2, age=0, gauges={}),
        ]
        monkeypatch.setattr(telemetry_reader, "processes", lambda: heard)
        assert missing(first_readiness) == {"worker": "not seen"}
        heard[0] = dataclasses.replace(heard[0], age=1)
        assert missing(first_readiness) == {}

    def test_where_nobody_can_be_heard_of_it_says_so_and_logs_it_once(
        self,
        first_readiness: process_readiness.FirstReadiness,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(telemetry_reader, "processes", away)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert missing(first_readiness) == {"worker": "not known (ConnectionError)"}
        assert len(caplog.records) == 1
        assert "cannot check worker: away" in caplog.text
