"""Rates: a shopper, or an address, that buys too fast has to wait."""

from collections.abc import Callable
from itertools import count

import httpx

from conftest import MakeSale
from inventory.models import Sale
from tests.cast import JSON, Shopper
from tests.contract.conftest import Web
from tests.contract.shapes import SHAPES, in_each_shape, refused, waiting

NewShopper = Callable[[Web], Shopper]
_addresses = (f"198.51.100.{number}" for number in count(1))


def seen_from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def first_refused(clicks: Callable[[], httpx.Response]) -> httpx.Response:
    """Clicks until it was too fast: a slow machine may need more than two."""
    for _ in range(50):
        reply = clicks()
        if reply.status_code not in (202, 303) or "message=" in reply.headers.get("location", ""):
            return reply
    raise AssertionError("it never was too fast")


@in_each_shape
def test_a_shopper_who_clicks_too_fast_waits(
    shape: str, proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=100, limit=100), new_shopper(proxied)
    headers = SHAPES[shape]
    reply = first_refused(
        lambda: shopper.buy(sale, headers={**headers, **seen_from(next(_addresses))})
    )
    refused(reply, shape, sale, 429, "rate_limited")
    assert shape == "form" or int(reply.headers["retry-after"]) == 1


def test_too_fast_uses_nothing_up(
    proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(stock=100, limit=100), new_shopper(proxied)
    accepted = []

    def click() -> httpx.Response:
        reply = shopper.buy(sale, headers={**JSON, **seen_from(next(_addresses))})
        accepted.append(reply.status_code == 202)
        return reply

    assert first_refused(click).status_code == 429
    assert waiting(sale) == sum(accepted)


def test_a_form_sent_again_is_never_too_fast(
    proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), new_shopper(proxied)
    ticket = shopper.ticket(sale)
    headers = {**JSON, **seen_from(next(_addresses))}
    assert {shopper.buy(sale, ticket, headers).status_code for _ in range(5)} == {202}


def each_by_another(
    sale: Sale, web: Web, new_shopper: NewShopper, address: Callable[[int], str]
) -> list[int]:
    """Status of one click each by new shoppers, the nth seen from `address(n)`."""
    return [
        new_shopper(web).buy(sale, headers={**JSON, **seen_from(address(n))}).status_code
        for n in range(6)
    ]


def test_many_shoppers_at_one_address_wait(
    proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    assert 429 in each_by_another(sale, proxied, new_shopper, lambda n: "203.0.113.9")


def test_shoppers_at_other_addresses_do_not_wait(
    proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    replies = each_by_another(sale, proxied, new_shopper, lambda n: f"203.0.113.{n}")
    assert set(replies) == {202}


def test_ipv6_addresses_of_one_customer_count_as_one(
    proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    assert 429 in each_by_another(sale, proxied, new_shopper, lambda n: f"2001:db8:0:1::{n:x}")


def test_ipv6_networks_of_other_customers_do_not_wait(
    proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    replies = each_by_another(sale, proxied, new_shopper, lambda n: f"2001:db8:0:{n + 1:x}::1")
    assert set(replies) == {202}


def test_whatever_stands_before_the_proxys_own_words_does_not_help(
    proxied: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    forged = each_by_another(sale, proxied, new_shopper, lambda n: f"192.0.2.{n}, 203.0.113.10")
    assert 429 in forged


def test_without_a_proxy_a_forged_address_does_not_help(
    strict: Web, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    assert 429 in each_by_another(sale, strict, new_shopper, lambda n: f"192.0.2.{n}")
