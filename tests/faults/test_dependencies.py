"""A dependency dies under a running shop: shoppers get a clear answer at once, and nothing is lost."""

import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from conftest import MakeSale
from flashsale.database import PATIENCE, drop_broken_connections
from flashsale.shoppers import cookie_value, new_shopper
from inventory import gate
from inventory.models import Sale
from orders import books, sales
from tests import servers, stack
from tests.cast import JSON, Shopper, skus

NOBODY = "redis://127.0.0.1:1/0"


def final(shopper: Shopper, purchase: str) -> str:
    """The answer that a waiting shopper ends with."""

    def asked() -> str:
        answer = shopper.order(purchase)
        status = answer.json().get("status", "queued") if answer.status_code == 200 else "queued"
        return "" if status == "queued" else str(status)

    return stack.wait_for(asked, "a final answer")


def test_the_line_grows_while_postgresql_is_down_and_drains_after(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    with stack.Web.running() as web, stack.worker():
        shoppers = [Shopper(web.url) for _ in range(5)]
        tickets, [sku] = [shopper.ticket(sale) for shopper in shoppers], skus(sale)
        servers.POSTGRES.kill()
        connection.close()
        stack.wait_for(lambda: not servers.POSTGRES.alive(), "PostgreSQL is gone")
        try:
            answers = [
                shopper.buy(sale, ticket, product=sku)
                for shopper, ticket in zip(shoppers, tickets, strict=True)
            ]
            assert {answer.status_code for answer in answers} == {202}
            ready = httpx.get(f"{web.url}/readyz", timeout=20)
            assert (ready.status_code, ready.json()["redis"]) == (503, "ok")
            listed = httpx.get(f"{web.url}/", timeout=20)
            assert (listed.status_code, listed.headers["retry-after"]) == (503, "1")
        finally:
            servers.POSTGRES.start()
            drop_broken_connections()
        ended = {final(s, a.json()["purchase"]) for s, a in zip(shoppers, answers, strict=True)}
        assert ended == {"confirmed"}
    assert books.verify(sale.pk).faults == {}


def test_a_dead_broker_delays_nobodys_click_and_the_caretaker_settles(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    dead = {"CELERY_BROKER_URL": NOBODY}
    with stack.Web.running(**dead) as web, stack.worker(**dead):
        shopper = Shopper(web.url)
        ticket = shopper.ticket(sale)
        began = time.monotonic()
        accepted = shopper.buy(sale, ticket)
        assert accepted.status_code == 202
        assert time.monotonic() - began < 2
        assert final(shopper, accepted.json()["purchase"]) == "confirmed"


def test_a_dead_channel_layer_stops_no_sale(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    dead = {"CHANNEL_URL": NOBODY}
    with stack.Web.running(**dead) as web, stack.worker(**dead):
        shopper = Shopper(web.url)
        accepted = shopper.buy(sale)
        assert final(shopper, accepted.json()["purchase"]) == "confirmed"
        stack.wait_for(
            lambda: shopper.sale(sale)["products"][0]["stock"] == 9, "the page shows what is left"
        )


def test_redis_away_and_back_under_a_running_shop(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    with stack.Web.running() as web, stack.worker():
        shopper, other = Shopper(web.url), Shopper(web.url)
        accepted = shopper.buy(sale)
        ticket = other.ticket(sale)
        servers.VALKEY.kill()
        stack.wait_for(lambda: not servers.VALKEY.alive(), "Valkey is gone")
        try:
            busy = other.buy(sale, ticket)
            assert busy.status_code == 503
            assert busy.headers["retry-after"]
            page = other.client.get(f"/sales/{sale.slug}/", headers={"Accept": "text/html"})
            assert page.status_code == 200
        finally:
            servers.VALKEY.start()
        assert final(shopper, accepted.json()["purchase"]) == "confirmed"
        stack.wait_for(lambda: gate.view_now(sale.pk).warm, "the gate is warm")
        again = stack.wait_for(lambda: _accepted(other, sale, ticket), "selling again")
        assert final(other, again) == "confirmed"
    assert books.verify(sale.pk).faults == {}


def _accepted(shopper: Shopper, sale: Sale, ticket: str) -> str:
    answer = shopper.buy(sale, ticket)
    return str(answer.json()["purchase"]) if answer.status_code in (200, 202) else ""


def test_the_stock_stays_live_while_postgresql_hangs(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    with stack.Web.running() as web:
        shopper = Shopper(web.url)
        ticket, [sku] = shopper.ticket(sale), skus(sale)
        with postgresql_frozen():
            assert shopper.buy(sale, ticket, product=sku).status_code == 202
            stack.wait_for(
                lambda: shopper.sale(sale)["products"][0]["stock"] == 9,
                "the page shows what is left",
            )
            ready = httpx.get(f"{web.url}/readyz", timeout=30)
            assert ready.status_code == 503


def test_the_front_page_and_pictures_stay_while_postgresql_hangs(make_sale: MakeSale) -> None:
    name = default_storage.save(f"products/{secrets.token_hex(16)}.webp", ContentFile(b"a picture"))
    with stack.Web.running() as web:
        sale = make_sale(opens_in=3)
        stack.wait_for(lambda: listed(web, sale) == "upcoming", "the sale is listed")
        with postgresql_frozen():
            # It opens by the clock; and whoever asks meanwhile does not wait.
            stack.wait_for(lambda: listed(web, sale) == "open", "the sale is listed as open", 10)
            assert httpx.get(f"{web.url}/", timeout=1).status_code == 200
            assert httpx.get(f"{web.url}/media/{name}", timeout=1).content == b"a picture"
        sales.pause(sale.pk, by="staff")
        stack.wait_for(lambda: listed(web, sale) == "paused", "the list is read again")


def listed(web: stack.Web, sale: Sale) -> str:
    """The phase with which the front page lists it, within a second."""
    content = httpx.get(f"{web.url}/", headers=JSON, timeout=1).json()["sales"]
    return next((str(one["phase"]) for one in content if one["slug"] == sale.slug), "")


@pytest.mark.parametrize("path", ["/", "/orders/"])
def test_a_page_that_cannot_be_read_says_so_in_bounded_time(path: str) -> None:
    with stack.Web.running() as web, postgresql_frozen():
        cookie = {"Cookie": f"shopper={cookie_value(new_shopper())}"}
        for _ in range(2):
            answer = httpx.get(f"{web.url}{path}", headers=cookie, timeout=PATIENCE + 1.5)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert 'data-code="busy"' in answer.text


def test_a_crowd_whose_orders_cannot_be_read_leaves_everybody_else_their_answers() -> None:
    """More questions hang than there are threads: none of Django's may be among those."""
    with stack.Web.running() as web, postgresql_frozen():
        asked = [threading.Thread(target=own_orders, args=(web,), daemon=True) for _ in range(30)]
        for thread in asked:
            thread.start()
        assert httpx.get(f"{web.url}/nothing/", timeout=PATIENCE + 1.5).status_code == 404
        assert own_orders(web) == 503
        for thread in asked:
            thread.join(30)
            assert not thread.is_alive()


def own_orders(web: stack.Web) -> int:
    cookie = {"Cookie": f"shopper={cookie_value(new_shopper())}"}
    return httpx.get(f"{web.url}/orders/", headers=cookie, timeout=30).status_code


@contextlib.contextmanager
def postgresql_frozen() -> Iterator[None]:
    """PostgreSQL takes connections and questions, and answers nothing."""
    pid = servers.POSTGRES.pid
    assert pid
    frozen = [pid, *stack.children(pid)]
    stack.signal_all(frozen, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.signal_all(frozen, signal.SIGCONT)
