"""What things cost, in counts that are the same on every machine: questions, statements, bytes."""

from collections.abc import Iterator

import httpx
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.models import Sale
from orders import settlement
from tests import stack
from tests.cast import PAGE, Shopper, queue_up

# The time-outs, the advisory lock, the sale, its variants, what is known, and one that writes. It does not
# depend on what is in a batch. The first two and the next three are one message each, and one round trip.
STATEMENTS, MESSAGES = 6, 3
# Of a page with one variant, its tickets filled in.
PAGE_BYTES = 12_000


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with stack.Web.running() as web:
        yield web.url


@pytest.mark.parametrize("purchases", [1, 500])
def test_a_batch_takes_the_same_statements_whatever_its_size(
    make_sale: MakeSale, purchases: int
) -> None:
    sale = make_sale(stock=1000)
    queue_up(sale, purchases)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        settlement.settle(sale.pk)
    assert sale.orders.count() == purchases
    asked = [query["sql"] for query in queries if not query["sql"].startswith(("BEGIN", "COMMIT"))]
    assert len(asked) == MESSAGES, asked
    assert sum(len(message.split(";")) for message in asked) == STATEMENTS, asked


def calls(command: str) -> int:
    told = (
        blocking_clients.client_of(0).info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
    )
    return int(told["calls"])


def test_a_click_asks_redis_once(web: str, make_sale: MakeSale) -> None:
    sale, clicks = make_sale(stock=100), 20
    shoppers = [Shopper(web) for _ in range(clicks)]
    tickets = [shopper.ticket(sale) for shopper in shoppers]
    before = calls("evalsha")
    for shopper, ticket in zip(shoppers, tickets, strict=True):
        assert shopper.buy(sale, ticket).status_code == 202
    assert calls("evalsha") - before == clicks


def test_a_newcomers_page_asks_redis_nothing(web: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=100)
    page(web, sale)
    before = calls("evalsha")
    for _ in range(20):
        page(web, sale)
    assert calls("evalsha") == before


def test_a_page_is_small(web: str, make_sale: MakeSale) -> None:
    assert 2_000 < len(page(web, make_sale(stock=100)).content) < PAGE_BYTES


def page(web: str, sale: Sale) -> httpx.Response:
    reply = httpx.get(f"{web}/sales/{sale.slug}/", headers=PAGE)
    assert reply.status_code == 200
    return reply
