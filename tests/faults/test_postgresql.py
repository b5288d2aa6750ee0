"""PostgreSQL fails under a running shop: clicks go on, and whoever needs it is told when to come back."""

import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from conftest import MakeSale
from flashsale.database import PATIENCE, drop_broken_connections
from flashsale.http.shoppers import cookie_value, new_shopper
from flashsale.local.processes import children
from flashsale.redis.web_connections import TIMEOUT
from inventory.models import Sale
from orders import sale_lifecycle
from tests import deadlines, servers, stack
from tests.cast import JSON, Shopper, at_once, skus
from tests.faults.outages import Crowd, final, settled_and_balanced, within
from tests.faults.proxy import Proxy


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Proxy]:
    with Proxy(servers.POSTGRES.url).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def web(postgresql: Proxy) -> Iterator[stack.Web]:
    proxied = {"DATABASE_URL": postgresql.url, "RATE_PER_SHOPPER": "0"}
    with stack.Web.running(**proxied) as web, stack.worker(**proxied):
        yield web


@pytest.mark.matrix("PostgreSQL", "slow")
def test_a_slow_postgresql_delays_outcomes_and_no_click(
    web: stack.Web, postgresql: Proxy, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=20)
    Shopper(web.url).sale(sale)
    crowd = Crowd(web.url, sale, 20)
    with postgresql.slow(TIMEOUT):
        began = time.monotonic()
        answers = crowd.click()
        # Not as long as PostgreSQL takes for one answer: nobody has asked it.
        assert time.monotonic() - began < deadlines.seconds(TIMEOUT)
        assert {answer.status_code for answer in answers} == {202}
    with postgresql.slow(0.2):
        assert settled_and_balanced(sale)


@pytest.mark.matrix("PostgreSQL", "its connection cut before COMMIT reaches it")
@pytest.mark.matrix("PostgreSQL", "its connection cut after COMMIT, before the reply")
@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.deep
def test_a_connection_cut_at_commit_settles_everybody_once(
    web: stack.Web, postgresql: Proxy, make_sale: MakeSale, answered: bool
) -> None:
    sale = make_sale(stock=10)
    # Said by settlement alone; what PostgreSQL answers to COMMIT is the same word.
    cut = postgresql.cut_at(b"COMMIT\0", after=b"INSERT INTO orders_order", answered=answered)
    purchases = {answer.json()["purchase"] for answer in Crowd(web.url, sale, 10).click()}
    assert cut.happened.wait(stack.DEADLINE)
    assert settled_and_balanced(sale)
    orders = {str(order.pk): order.status for order in sale.orders.all()}
    assert orders == dict.fromkeys(purchases, "confirmed")


@pytest.mark.matrix("PostgreSQL", "out of connections")
def test_without_a_connection_clicks_go_on_and_pages_say_when_to_come_back(
    web: stack.Web, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=10), Shopper(web.url)
    ticket, [sku] = shopper.ticket(sale), skus(sale)
    assert set(at_once(*[partial(own_orders, web)] * 20)) == {200}  # on as many as it may have
    with no_connection_left():
        with within(TIMEOUT):
            accepted = shopper.buy(sale, ticket, product=sku)
        assert accepted.status_code == 202
        purchase = accepted.json()["purchase"]
        assert shopper.order(purchase).json()["status"] == "queued"
        with within(PATIENCE):
            own = shopper.client.get("/orders/")
        assert (own.status_code, "retry-after" in own.headers) == (503, True)
    assert final(shopper, purchase) == "confirmed"
    with within(PATIENCE):
        stack.wait_for(lambda: shopper.client.get("/orders/").status_code == 200, "pages again")
    assert settled_and_balanced(sale)


@contextlib.contextmanager
def no_connection_left() -> Iterator[None]:
    """All others are ended, and no new one is let in, as if somebody else held them all."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            [name],
        )
        try:
            yield
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')


@pytest.mark.matrix("PostgreSQL", "gone")
def test_the_line_grows_while_postgresql_is_down_and_drains_after(
    web: stack.Web, postgresql: Proxy, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=10), Shopper(web.url)
    ticket, [sku], crowd = shopper.ticket(sale), skus(sale), Crowd(web.url, sale, 5)
    with postgresql_gone(postgresql):
        with within(TIMEOUT):
            accepted = shopper.buy(sale, ticket, product=sku)
            answers = crowd.click()
        assert {answer.status_code for answer in [accepted, *answers]} == {202}
        with within(PATIENCE):
            assert own_orders(web) == 503
        ready = httpx.get(f"{web.url}/readyz", timeout=deadlines.seconds(20))
        assert (ready.status_code, ready.json()["redis"]) == (503, "ok")
    assert final(shopper, accepted.json()["purchase"]) == "confirmed"
    with within(PATIENCE):
        stack.wait_for(lambda: own_orders(web) == 200, "pages again")
    assert settled_and_balanced(sale)
    assert sale.orders.filter(status="confirmed").count() == 6


@contextlib.contextmanager
def postgresql_gone(postgresql: Proxy) -> Iterator[None]:
    with postgresql.gone():
        servers.POSTGRES.kill()
        connection.close()
        stack.wait_for(lambda: not servers.POSTGRES.alive(), "PostgreSQL is gone")
        try:
            yield
        finally:
            servers.POSTGRES.start()
            drop_broken_connections()


@pytest.mark.matrix("PostgreSQL", "silent")
@pytest.mark.deep
def test_the_stock_stays_live_while_postgresql_hangs(web: stack.Web, make_sale: MakeSale) -> None:
    sale, shopper = make_sale(stock=10), Shopper(web.url)
    ticket, [sku] = shopper.ticket(sale), skus(sale)
    with postgresql_frozen():
        with within(TIMEOUT):
            assert shopper.buy(sale, ticket, product=sku).status_code == 202
        stack.wait_for(
            lambda: shopper.sale(sale)["products"][0]["stock"] == 9,
            "the page shows what is left",
        )
        ready = httpx.get(f"{web.url}/readyz", timeout=deadlines.seconds(30))
        assert ready.status_code == 503
    assert settled_and_balanced(sale)


@pytest.mark.matrix("PostgreSQL", "silent")
@pytest.mark.deep
def test_the_front_page_and_pictures_stay_while_postgresql_hangs(
    web: stack.Web, make_sale: MakeSale
) -> None:
    name = default_storage.save(f"products/{secrets.token_hex(16)}.webp", ContentFile(b"a picture"))
    sale = make_sale(opens_in=deadlines.ahead(3))
    stack.wait_for(lambda: listed(web, sale) == "upcoming", "the sale is listed")
    with postgresql_frozen():
        # It opens by the clock; and whoever asks meanwhile does not wait.
        stack.wait_for(lambda: listed(web, sale) == "open", "the sale is listed as open", 10)
        assert httpx.get(f"{web.url}/", timeout=deadlines.seconds(1)).status_code == 200
        assert (
            httpx.get(f"{web.url}/media/{name}", timeout=deadlines.seconds(1)).content
            == b"a picture"
        )
    sale_lifecycle.pause(sale.pk, by="staff")
    stack.wait_for(lambda: listed(web, sale) == "paused", "the list is read again")


def listed(web: stack.Web, sale: Sale) -> str:
    """The phase with which the front page lists it, within a second."""
    content = httpx.get(f"{web.url}/", headers=JSON, timeout=deadlines.seconds(1)).json()["sales"]
    return next((str(one["phase"]) for one in content if one["slug"] == sale.slug), "")


@pytest.mark.matrix("PostgreSQL", "silent")
@pytest.mark.deep
def test_a_page_that_cannot_be_read_says_so_in_bounded_time() -> None:
    pages = ("/", "/orders/", "/sales/never-asked-for/")
    with stack.Web.running() as web, postgresql_frozen():
        cookie = {"Cookie": f"shopper={cookie_value(new_shopper())}"}

        def ask(path: str) -> None:
            answer = httpx.get(
                f"{web.url}{path}", headers=cookie, timeout=deadlines.seconds(PATIENCE + 1.5)
            )
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert 'data-code="busy"' in answer.text

        for _ in range(2):
            assert at_once(*(partial(ask, path) for path in pages)) == [None] * len(pages)


@pytest.mark.matrix("PostgreSQL", "silent")
def test_a_crowd_whose_orders_cannot_be_read_leaves_everybody_else_their_answers(
    web: stack.Web,
) -> None:
    """More questions hang than there are threads: none of Django's may be among those."""
    with postgresql_frozen():
        asked = [threading.Thread(target=own_orders, args=(web,), daemon=True) for _ in range(30)]
        for thread in asked:
            thread.start()
        assert (
            httpx.get(f"{web.url}/nothing/", timeout=deadlines.seconds(PATIENCE + 1.5)).status_code
            == 404
        )
        assert own_orders(web) == 503
        for thread in asked:
            thread.join(deadlines.seconds(30))
            assert not thread.is_alive()


def own_orders(web: stack.Web) -> int:
    cookie = {"Cookie": f"shopper={cookie_value(new_shopper())}"}
    return httpx.get(
        f"{web.url}/orders/", headers=cookie, timeout=deadlines.seconds(30)
    ).status_code


@contextlib.contextmanager
def postgresql_frozen() -> Iterator[None]:
    """PostgreSQL takes connections and questions, and answers nothing."""
    pid = servers.POSTGRES.pid
    assert pid
    frozen = [pid, *children(pid)]
    stack.signal_all(frozen, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.signal_all(frozen, signal.SIGCONT)
