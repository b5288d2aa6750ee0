"""The window of a sale holds to the millisecond, whoever clicks across its edges."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from conftest import MakeSale
from flashsale.http import shoppers
from flashsale.redis import blocking_clients
from inventory.gate.scripts import keys, source
from inventory.models import Sale
from orders import sale_lifecycle, tickets
from orders.settlement import settle
from tests import deadlines, stack
from tests.cast import JSON, skus, ticket_of

CROWD = 24
BEFORE, OPEN_FOR = 3.0, 1.5  # seconds; a busy machine takes a while to bring the crowd

_CLOCK = "redis.call('TIME')"
_EDGES = ("now >= tonumber(gate[4])", "now < tonumber(gate[3])")


def _eval_admit(sale: Sale, script: str) -> list[str]:
    """One click, decided by a script that differs from ours."""
    shopper = shoppers.new_shopper()
    reply: Any = blocking_clients.client_of(0).eval(
        script,
        12,
        *keys(sale.pk),
        *(f"{{sale:{sale.pk}}}:rate:{whose}" for whose in ("shopper", "address")),
        *(tickets.new_purchase(sale.pk).hex, shopper.hex, skus(sale)[0], 1),
        *(0, 0, 100_000),
    )
    return [str(part) for part in reply]


@pytest.mark.parametrize(
    ("edge", "milliseconds", "answer"),
    [
        ("opens_at", -1, ["refused", "not_open"]),
        ("opens_at", 0, ["queued", "1"]),
        ("closes_at", -1, ["queued", "1"]),
        ("closes_at", 0, ["refused", "closed"]),
    ],
)
def test_the_script_opens_and_closes_to_the_millisecond(
    edge: str, milliseconds: int, answer: list[str], make_sale: MakeSale
) -> None:
    sale = make_sale()
    moment = round(getattr(sale, edge).timestamp() * 1000) + milliseconds
    stopped = f"{{'{moment // 1000}', '{moment % 1000 * 1000}'}}"
    script = source("admit")
    assert script.count(_CLOCK) == 1
    assert _eval_admit(sale, script.replace(_CLOCK, stopped)) == answer


def test_a_crowd_that_clicks_across_opening_and_close_buys_inside_the_window_only(
    make_sale: MakeSale,
) -> None:
    with stack.Web.running(RATE_PER_SHOPPER="0", RATE_PER_ADDRESS="0") as web, stack.worker():
        sale = _opens_in_a_moment(make_sale)
        told = asyncio.run(_click_until_closed(web.url, sale))
        stack.wait_for(lambda: sale.orders.count() == told["queued"], "everybody is answered")
    print(f"answers across the window: {dict(told)}")
    assert {"not_open", "queued", "closed"} <= set(told)
    assert _outside(sale) == 0


@pytest.mark.deep
def test_its_twin_without_a_look_at_the_clock_sells_outside_the_window(
    make_sale: MakeSale,
) -> None:
    script = source("admit")
    for edge in _EDGES:
        assert edge in script
        script = script.replace(edge, "false")
    sale = _opens_in_a_moment(make_sale)
    while timezone.now() < sale.closes_at + timedelta(seconds=0.2):
        _eval_admit(sale, script)
    settle(sale.pk)
    assert _outside(sale) > 0


def _opens_in_a_moment(make_sale: MakeSale) -> Sale:
    sale = make_sale(stock=1_000_000, limit=10_000, opens_in=60)
    opens = timezone.now() + timedelta(seconds=BEFORE)
    opens = opens.replace(microsecond=opens.microsecond // 1000 * 1000)
    closes = opens + timedelta(seconds=OPEN_FOR)
    sale_lifecycle.change_window(sale.pk, opens_at=opens, closes_at=closes, by="staff")
    sale.refresh_from_db()
    return sale


async def _click_until_closed(url: str, sale: Sale) -> Counter[str]:
    """What a crowd is told that clicks on, each until it hears that the sale is over."""
    told: Counter[str] = Counter()
    number, sku = sale.pk, await asyncio.to_thread(lambda: skus(sale)[0])

    async def click_on(client: httpx.AsyncClient) -> None:
        shopper = shoppers.new_shopper()
        cookie = {"Cookie": f"shopper={shoppers.cookie_value(shopper)}"}
        said = ""
        while said != "closed":
            form = {"ticket": ticket_of(number, shopper), "product": sku}
            reply = await client.post(f"/sales/{sale.slug}/buy", data=form, headers=cookie)
            answer = reply.json()
            said = answer.get("reason") or answer["status"]
            told[said] += 1

    limits = httpx.Limits(max_connections=CROWD)
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=deadlines.seconds(30), headers=JSON
    ) as client:
        await asyncio.gather(*(click_on(client) for _ in range(CROWD)))
    return told


def _outside(sale: Sale) -> int:
    """Orders that were accepted outside of the window."""
    inside = sale.orders.filter(accepted_at__gte=sale.opens_at, accepted_at__lt=sale.closes_at)
    assert inside.exists()
    return sale.orders.count() - inside.count()
