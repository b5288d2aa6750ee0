"""What the tests of outages have in common: what shoppers do meanwhile, and what must hold after."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import httpx

from flashsale.http.shoppers import cookie_value, new_shopper
from inventory.gate import replica
from inventory.models import Sale
from orders import reconciliation
from tests import deadlines, stack
from tests.cast import JSON, Shopper, in_loop, skus, ticket_of

BUSY_MACHINE = 3  # times as long as stated is still kept: the tests' machine does much at once


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """The deadline that `docs/resilience.md` states, with room for a busy machine."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < deadlines.seconds(BUSY_MACHINE * seconds), (
        f"{took:.1f} s, where {seconds} s are promised"
    )


def final(shopper: Shopper, purchase: str) -> str:
    """The answer that a waiting shopper ends with."""

    def asked() -> str:
        answer = shopper.order(purchase)
        status = answer.json().get("status", "queued") if answer.status_code == 200 else "queued"
        return "" if status == "queued" else str(status)

    return stack.wait_for(asked, "a final answer")


def bought_again(shopper: Shopper, sale: Sale, ticket: str) -> str:
    """The purchase, once the same ticket is accepted."""
    [sku] = skus(sale)

    def accepted() -> str:
        answer = shopper.buy(sale, ticket, product=sku)
        return str(answer.json()["purchase"]) if answer.status_code in (200, 202) else ""

    return stack.wait_for(accepted, "selling again")


def settled_and_balanced(sale: Sale) -> bool:
    """Waits for the line to be empty; whether all books agree then."""

    def drained() -> bool:
        seen = replica.read_view(sale.pk)
        return seen.ready and seen.in_line == 0 and not seen.in_flight

    stack.wait_for(drained, "the line is settled")
    faults = reconciliation.verify(sale.pk).faults
    assert faults == {}
    return True


class Crowd:
    """Shoppers who click in the same moment, each with a ticket of their own."""

    def __init__(self, url: str, sale: Sale, size: int) -> None:
        self._address = f"{url}/sales/{sale.slug}/buy"
        [self._sku] = skus(sale)
        shoppers = [new_shopper() for _ in range(size)]
        self._all = [(cookie_value(one), ticket_of(sale.pk, one)) for one in shoppers]

    def click(self) -> list[httpx.Response]:
        """Everybody's answer; the same tickets each time."""

        async def click_all() -> list[httpx.Response]:
            no_limit = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(timeout=deadlines.seconds(30), limits=no_limit) as client:
                return await asyncio.gather(*(self._post(client, *one) for one in self._all))

        return in_loop(click_all)

    async def _post(self, client: httpx.AsyncClient, cookie: str, ticket: str) -> httpx.Response:
        form = {"ticket": ticket, "product": self._sku}
        headers = {**JSON, "Cookie": f"shopper={cookie}"}
        return await client.post(self._address, data=form, headers=headers)
