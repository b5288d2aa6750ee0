"""A dependency dies under a running shop: shoppers get a clear answer at once, and nothing is lost."""

import signal
import time

import httpx
from django.db import connection

from conftest import MakeSale
from flashsale.database import drop_broken_connections
from inventory import gate
from inventory.models import Sale
from orders import books
from tests import servers, stack
from tests.cast import Shopper, skus

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
            assert (listed.status_code, listed.headers["retry-after"]) == (503, "2")
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
        pid = servers.POSTGRES.pid
        assert pid
        frozen = [pid, *stack.children(pid)]
        stack.signal_all(frozen, signal.SIGSTOP)
        try:
            assert shopper.buy(sale, ticket, product=sku).status_code == 202
            stack.wait_for(
                lambda: shopper.sale(sale)["products"][0]["stock"] == 9,
                "the page shows what is left",
            )
            ready = httpx.get(f"{web.url}/readyz", timeout=30)
            assert ready.status_code == 503
        finally:
            stack.signal_all(frozen, signal.SIGCONT)
