"""A crowd over real HTTP: nothing oversold, everybody answered, one ticket one order."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from conftest import MakeSale
from flashsale.http import shoppers
from inventory.models import Sale
from orders import reconciliation
from tests import deadlines, stack
from tests.cast import JSON, Shopper, skus, ticket_of


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stack.Web.running(RATE_PER_SHOPPER="0") as web, stack.worker():
        yield web.url


async def _post_all(
    url: str, sale: str, clicks: list[tuple[str, dict[str, str]]]
) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=len(clicks))
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=deadlines.seconds(30), headers=JSON
    ) as client:
        return await asyncio.gather(
            *(
                client.post(f"/sales/{sale}/buy", data=form, headers={"Cookie": cookie})
                for cookie, form in clicks
            )
        )


def _click(sale: Sale, sku: str) -> tuple[str, dict[str, str]]:
    shopper = shoppers.new_shopper()
    ticket = ticket_of(sale.pk, shopper)
    cookie = f"shopper={shoppers.cookie_value(shopper)}"
    return cookie, {"ticket": ticket, "product": sku}


def _answered(url: str, cookie: str, purchase: str) -> str:
    """The final status of a purchase, waited for."""

    def final() -> str | None:
        answer = httpx.get(f"{url}/orders/{purchase}/", headers={**JSON, "Cookie": cookie})
        status = str(answer.json()["status"])
        return None if status == "queued" else status

    return stack.wait_for(final, f"an answer to {purchase}") or ""


@pytest.mark.deep
def test_400_shoppers_at_once_buy_exactly_100_units(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=100)
    sku = skus(sale)[0]
    clicks = [_click(sale, sku) for _ in range(400)]
    answers = asyncio.run(_post_all(url, sale.slug, clicks))
    told = Counter(answer.status_code for answer in answers)
    assert set(told) <= {202, 409}
    accepted = [
        (cookie, answer.json()["purchase"])
        for (cookie, _), answer in zip(clicks, answers, strict=True)
        if answer.status_code == 202
    ]
    final = Counter(_answered(url, cookie, purchase) for cookie, purchase in accepted)
    assert final == {"confirmed": 100}
    assert sale.orders.filter(status="confirmed").count() == 100
    assert sale.variants.get().stock == 0
    assert reconciliation.verify(sale.pk).faults == {}


def test_100_posts_of_one_ticket_make_one_order(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock={"shoe": 10, "bag": 10}, limit=5)
    shoe, bag = skus(sale)
    cookie, form = _click(sale, shoe)
    answers = asyncio.run(_post_all(url, sale.slug, [(cookie, form)] * 100))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["purchase"] for answer in answers}) == 1
    assert _answered(url, cookie, answers[0].json()["purchase"]) == "confirmed"
    assert sale.orders.count() == 1

    again = httpx.post(
        f"{url}/sales/{sale.slug}/buy",
        data={**form, "product": bag},
        headers={**JSON, "Cookie": cookie},
    )
    assert again.status_code == 422
    assert again.json()["error"] == "ticket_reused"


def test_another_shoppers_ticket_tells_nothing(url: str, make_sale: MakeSale) -> None:
    sale = make_sale()
    victim, thief = Shopper(url), Shopper(url)
    ticket = victim.ticket(sale)
    victim.buy(sale, ticket)
    thief.ticket(sale)
    stolen, forged = thief.buy(sale, ticket), thief.buy(sale, "A" * len(ticket))
    assert (stolen.status_code, stolen.json()) == (forged.status_code, forged.json())
    assert stolen.status_code == 403
    assert json.loads(stolen.text) == {"error": "ticket"}
