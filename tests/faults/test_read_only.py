"""A server answers and cannot be written to: a failover, a full disk, a snapshot that failed. Clicks go on
as long as Redis takes them, and all goes on by itself afterwards."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import MakeSale
from flashsale.http.shoppers import cookie_value, new_shopper
from flashsale.local.valkey import Valkey
from flashsale.redis.client_factory import client
from flashsale.redis.web_connections import TIMEOUT
from inventory.gate import replica
from tests import deadlines, read_only, servers, stack
from tests.cast import Shopper, skus
from tests.faults.outages import Crowd, bought_again, final, settled_and_balanced, within
from tests.faults.proxy import Proxy
from tests.read_only import ReadOnly

SETTLING_AGAIN = 2.0  # seconds after PostgreSQL can be written to again


@pytest.fixture(scope="module")
def redis() -> Iterator[Proxy]:
    with Proxy(servers.VALKEY.url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def worker(redis: Proxy) -> Iterator[stack.Process]:
    with stack.worker(REDIS_URL=redis.url) as worker:
        yield worker


@pytest.fixture(scope="module")
def web(redis: Proxy, worker: stack.Process) -> Iterator[stack.Web]:
    with stack.Web.running(REDIS_URL=redis.url, RATE_PER_SHOPPER="0") as web:
        yield web


@pytest.mark.matrix("PostgreSQL", "can only be read")
@pytest.mark.parametrize(
    "postgresql",
    [read_only.by_role, pytest.param(read_only.by_configuration, marks=pytest.mark.deep)],
)
def test_the_line_grows_while_postgresql_can_only_be_read_and_drains_after(
    web: stack.Web, make_sale: MakeSale, postgresql: ReadOnly, capsys: pytest.CaptureFixture[str]
) -> None:
    grow_and_drain(web, make_sale, postgresql, capsys)


@pytest.mark.matrix("PostgreSQL", "a standby")
def test_the_line_grows_while_postgresql_is_a_standby_and_drains_after(
    web: stack.Web, make_sale: MakeSale, capsys: pytest.CaptureFixture[str]
) -> None:
    grow_and_drain(web, make_sale, read_only.as_standby, capsys)


def grow_and_drain(
    web: stack.Web, make_sale: MakeSale, postgresql: ReadOnly, capsys: pytest.CaptureFixture[str]
) -> None:
    sale, first, late = make_sale(stock=30), Shopper(web.url), Shopper(web.url)
    crowd, ticket, [sku] = Crowd(web.url, sale, 20), late.ticket(sale), skus(sale)
    with postgresql():
        with within(TIMEOUT):
            answers = [first.buy(sale), *crowd.click()]
        assert {answer.status_code for answer in answers} == {202}
        stack.wait_for(lambda: "only be read" in readiness(web)["postgresql"], "it is noticed")
        assert httpx.get(f"{web.url}/readyz", timeout=deadlines.seconds(20)).status_code == 503
        assert own_orders(web) == 200
        # Settlement has tried, with more than one session.
        began = time.monotonic()
        stack.wait_for(lambda: time.monotonic() - began > 2, "it lasts")
        with within(TIMEOUT):
            last = late.buy(sale, ticket, product=sku)
        assert last.status_code == 202
        assert replica.read_view(sale.pk).in_line == 22
    began = time.monotonic()
    purchases = [answer.json()["purchase"] for answer in [answers[0], last]]
    assert final(first, purchases[0]) == "confirmed"
    took = time.monotonic() - began
    with capsys.disabled():
        print(f"\nsettling again after {took:.2f} s, where {SETTLING_AGAIN} s are promised")
    assert final(late, purchases[1]) == "confirmed"
    assert settled_and_balanced(sale)
    assert sale.orders.filter(status="confirmed").count() == 22
    assert readiness(web)["postgresql"] == "ok"
    read_only.forget_sessions()


def readiness(web: stack.Web) -> dict[str, str]:
    return dict(httpx.get(f"{web.url}/readyz", timeout=deadlines.seconds(20)).json())


def own_orders(web: stack.Web) -> int:
    cookie = {"Cookie": f"shopper={cookie_value(new_shopper())}"}
    url = f"{web.url}/orders/"
    return httpx.get(url, headers=cookie, timeout=deadlines.seconds(30)).status_code


@pytest.mark.matrix("Redis", "cannot be written to")
@pytest.mark.parametrize(
    "unwritable",
    [
        read_only.as_replica,
        read_only.without_replicas,
        pytest.param(read_only.without_permission, marks=pytest.mark.deep),
        pytest.param(read_only.after_a_failed_snapshot, marks=pytest.mark.deep),
    ],
)
def test_a_redis_that_refuses_writes_takes_no_click_and_settles_afterwards(
    web: stack.Web, worker: stack.Process, make_sale: MakeSale, unwritable: ReadOnly
) -> None:
    sale, shopper = make_sale(stock=30), Shopper(web.url)
    ticket, crowd = shopper.ticket(sale), Crowd(web.url, sale, 20)
    with contextlib.ExitStack() as meanwhile:
        with frozen(worker):
            assert {answer.status_code for answer in crowd.click()} == {202}
            meanwhile.enter_context(unwritable())
        with within(TIMEOUT):
            busy = shopper.buy(sale, ticket)
        # Not "unknown": the refusal proves that nothing was bought.
        assert (busy.status_code, busy.json()) == (503, {"error": "busy"})
        assert busy.headers["retry-after"]
        assert "cannot be written to" in readiness(web)["redis"]
        stack.wait_for(lambda: sale.orders.count() == 20, "the orders are written")
    assert final(shopper, bought_again(shopper, sale, ticket)) == "confirmed"
    assert settled_and_balanced(sale)
    assert {answer.json()["status"] for answer in crowd.click()} == {"confirmed"}
    assert readiness(web)["redis"] == "ok"


@pytest.mark.matrix("Redis", "replaced while it is still there as a replica")
def test_connections_to_a_demoted_redis_are_given_up_for_its_successor(
    web: stack.Web, redis: Proxy, make_sale: MakeSale, tmp_path: Path
) -> None:
    sale, shopper = make_sale(stock=30), Shopper(web.url)
    assert final(shopper, shopper.buy(sale).json()["purchase"]) == "confirmed"
    crowd = Crowd(web.url, sale, 20)
    # Connections from before stay open: they lead to a server that only refuses.
    with empty_successor(tmp_path) as url, read_only.as_replica(), redis.leading_to(url):
        stack.wait_for(lambda: bought_by_all(crowd), "selling on the successor", 5)
        confirmed = sale.orders.filter(status="confirmed")
        stack.wait_for(lambda: confirmed.count() == 21, "settling there")
    assert settled_and_balanced(sale)


@contextlib.contextmanager
def empty_successor(folder: Path) -> Iterator[str]:
    """Another Redis, with the password of the first."""
    server = Valkey(folder / "successor")
    server.start()
    try:
        password = urlsplit(servers.VALKEY.url).password or ""
        client(server.url, timeout=5, connect_timeout=5).config_set("requirepass", password)
        yield server.url
    finally:
        server.stop()


def bought_by_all(crowd: Crowd) -> bool:
    return {answer.status_code for answer in crowd.click()} <= {200, 202}


@contextlib.contextmanager
def frozen(process: stack.Process) -> Iterator[None]:
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)
