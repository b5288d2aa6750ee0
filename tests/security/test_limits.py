"""The rates hold against many cookies at one address, many addresses, and whatever a header says."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from conftest import MakeSale
from drills import http
from flashsale.http.shoppers import cookie_value, new_shopper
from inventory.models import Sale
from tests import stack
from tests.cast import in_loop, skus, ticket_of
from tests.contract.shapes import waiting

PER_SHOPPER, PER_ADDRESS = 3, 50  # the defaults, which `docs/security.md` states
_AT_ONCE = 24  # connections


@pytest.fixture(scope="module")
def direct() -> Iterator[stack.Web]:
    with stack.Web.running(RATE_PER_ADDRESS=str(PER_ADDRESS)) as web:
        yield web


@pytest.fixture(scope="module")
def proxied() -> Iterator[stack.Web]:
    with stack.Web.running(RATE_PER_ADDRESS=str(PER_ADDRESS), TRUSTED_PROXIES="1") as web:
        yield web


@dataclass
class Visitor:
    """A cookie, with so many fresh tickets, and how its clicks were answered."""

    clicks: int
    forwarded: str = ""
    shopper: UUID = field(default_factory=new_shopper)
    answers: Counter[int] = field(default_factory=Counter)
    took: float = 0.0  # seconds from the first click to the last

    async def click(self, connection: http.Connection, sale: Sale, sku: str) -> None:
        began = time.monotonic()
        for _ in range(self.clicks):
            answer = await connection.send(self._click(sale, sku))
            self.answers[answer.status] += 1
        self.took = time.monotonic() - began

    def _click(self, sale: Sale, sku: str) -> bytes:
        form = f"ticket={ticket_of(sale.pk, self.shopper)}&product={sku}"
        headers = {
            "Host": "localhost",
            "Accept": "application/json",
            "Cookie": f"shopper={cookie_value(self.shopper)}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if self.forwarded:
            headers["X-Forwarded-For"] = self.forwarded
        return http.request("POST", f"/sales/{sale.slug}/buy", headers, form.encode())


def rush(web: stack.Web, sale: Sale, visitors: Iterable[Visitor]) -> float:
    """They all click, as fast as the server answers. Gives the seconds that it took."""
    work, sku, at = iter(visitors), skus(sale)[0], urlsplit(web.url)

    async def one_after_another() -> None:
        connection = await http.Connection.open(str(at.hostname), at.port or 80)
        for visitor in work:
            await visitor.click(connection, sale, sku)
        connection.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(one_after_another() for _ in range(_AT_ONCE)))

    began = time.monotonic()
    in_loop(all_of_them)
    return time.monotonic() - began


def most(per_second: int, seconds: float) -> int:
    """A burst of one second's worth, then one each 1/rate seconds; the clock that counts is Redis'."""
    return per_second + math.ceil(per_second * (seconds + 0.1))


def answers(visitors: list[Visitor]) -> Counter[int]:
    return sum((visitor.answers for visitor in visitors), Counter())


@pytest.mark.parametrize("forged", [False, True], ids=["", "with a forged address each"])
@pytest.mark.deep
def test_one_address_with_ten_thousand_cookies_buys_at_the_rate_of_one(
    forged: bool, direct: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=20_000)
    count = 10_000 if not forged else 1_000
    crowd = [Visitor(1, address(n) if forged else "") for n in range(count)]
    seconds = rush(direct, sale, crowd)
    counted = answers(crowd)
    assert PER_ADDRESS <= counted[202] == waiting(sale) <= most(PER_ADDRESS, seconds)
    assert counted[202] + counted[429] == count


def address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def test_behind_a_proxy_only_what_it_saw_itself_counts(
    proxied: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=20_000)
    crowd = [Visitor(1, f"{address(n)}, 192.0.2.77:{n + 1024}") for n in range(1_000)]
    seconds = rush(proxied, sale, crowd)
    assert PER_ADDRESS <= answers(crowd)[202] <= most(PER_ADDRESS, seconds)


@pytest.mark.deep
def test_a_thousand_addresses_with_a_cookie_each_buy_at_each_cookies_rate(
    proxied: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=20_000, limit=100)
    crowd = [Visitor(12, address(n)) for n in range(1_000)]
    rush(proxied, sale, crowd)
    for visitor in crowd:
        assert PER_SHOPPER <= visitor.answers[202] <= most(PER_SHOPPER, visitor.took)
    assert answers(crowd)[429] > 0
    assert set(answers(crowd)) == {202, 429}


def test_a_thousand_addresses_with_a_cookie_each_get_no_more_than_the_limit_each(
    proxied: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=20_000, limit=2)
    crowd = [Visitor(3, address(n)) for n in range(1_000)]
    rush(proxied, sale, crowd)
    assert {visitor.answers[202] for visitor in crowd} == {2}
    assert waiting(sale) == 2_000


def test_one_cookie_at_a_thousand_addresses_buys_at_the_rate_of_one(
    proxied: stack.Web, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=20_000, limit=10_000), new_shopper()
    crowd = list(map(partial(Visitor, 1, shopper=shopper), map(address, range(1_000))))
    seconds = rush(proxied, sale, crowd)
    assert PER_SHOPPER <= answers(crowd)[202] <= most(PER_SHOPPER, seconds)
