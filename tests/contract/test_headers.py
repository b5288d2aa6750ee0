"""What every answer to a crowd carries, and the cookie that names a shopper."""

import re
from collections.abc import Callable
from http.cookies import Morsel, SimpleCookie

import httpx
import pytest

from conftest import MakeSale
from flashsale.http.shoppers import KEPT_FOR
from inventory.models import Sale
from tests.cast import HTMX, JSON, PAGE, Shopper
from tests.contract.conftest import Web
from tests.contract.shapes import SHAPES, failed, in_each_shape, location, waiting

ANSWERS: dict[str, tuple[int, Callable[[Shopper, Sale], httpx.Response]]] = {
    "page": (200, lambda shopper, sale: get(shopper, sale, PAGE)),
    "json": (200, lambda shopper, sale: get(shopper, sale, JSON)),
    "live parts": (200, lambda shopper, sale: get(shopper, sale, HTMX)),
    "front page": (200, lambda shopper, sale: shopper.client.get("/", headers=PAGE)),
    "calendar": (200, lambda s, sale: s.client.get(f"/sales/{sale.slug}/calendar.ics")),
    "accepted": (202, lambda shopper, sale: shopper.buy(sale)),
    "redirect": (303, lambda shopper, sale: shopper.buy(sale, headers=PAGE)),
    "order": (200, lambda shopper, sale: shopper.order(shopper.buy(sale).json()["purchase"])),
    "order's fragment": (204, lambda s, sale: s.order(s.buy(sale).json()["purchase"], HTMX)),
    "refused": (409, lambda shopper, sale: shopper.buy(sale, quantity=2)),
    "ticket": (403, lambda shopper, sale: shopper.buy(sale, "forged", HTMX)),
    "no form": (415, lambda s, sale: s.client.post(f"/sales/{sale.slug}/buy", content=b"")),
    "method": (405, lambda s, sale: s.client.get(f"/sales/{sale.slug}/buy")),
    "unknown": (404, lambda shopper, sale: shopper.client.get("/sales/nothing/")),
    "host": (400, lambda s, sale: get(s, sale, {"Host": "evil.example"})),
}


def get(shopper: Shopper, sale: Sale, headers: dict[str, str]) -> httpx.Response:
    return shopper.client.get(f"/sales/{sale.slug}/", headers=headers)


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_is_private_and_shielded(
    kind: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    status, ask = ANSWERS[kind]
    reply = ask(shopper, make_sale())
    assert reply.status_code == status
    headers = reply.headers
    assert headers["cache-control"] == "private, no-store"
    assert headers["vary"] == "Accept, Accept-Language, Cookie, HX-Request"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "server" not in headers


def cookie(reply: httpx.Response) -> tuple[str, dict[str, object]]:
    """Name and attributes of the shopper's cookie; beside it is only the one of its first page."""
    lasting, first_page = (SimpleCookie(told) for told in reply.headers.get_list("set-cookie"))
    [(name, morsel)], [(beside, other)] = lasting.items(), first_page.items()
    assert re.fullmatch(rf"{name}-[\w-]{{8}}", beside)
    assert {**attributes(other), "max-age": morsel["max-age"]} == attributes(morsel)
    return name, attributes(morsel)


def attributes(morsel: Morsel[str]) -> dict[str, object]:
    return {key: value for key, value in morsel.items() if value}


LASTING = {"path": "/", "max-age": str(KEPT_FOR), "httponly": True, "samesite": "Lax"}


@pytest.mark.parametrize("headers", [PAGE, JSON], ids=["page", "json"])
def test_a_newcomer_gets_a_cookie_that_scripts_and_other_sites_do_not_get(
    headers: dict[str, str], shopper: Shopper, make_sale: MakeSale
) -> None:
    assert cookie(get(shopper, make_sale(), headers)) == ("shopper", LASTING)


def test_who_has_a_cookie_keeps_it(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    get(shopper, sale, PAGE)
    assert "set-cookie" not in get(shopper, sale, PAGE).headers


HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.200"}


def test_over_https_the_cookie_is_pinned_to_the_shop(
    proxied: Web, new_shopper: Callable[[Web], Shopper], make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), new_shopper(proxied)
    reply = get(shopper, sale, {**JSON, **HTTPS})
    assert cookie(reply) == ("__Host-shopper", {**LASTING, "secure": True})
    pinned = {"Cookie": f"__Host-shopper={shopper.client.cookies['__Host-shopper']}"}
    ticket = reply.json()["ticket"]
    bought = shopper.buy(sale, ticket, {**JSON, **HTTPS, **pinned})
    assert bought.status_code == 202
    order = f"/orders/{bought.json()['purchase']}/"
    assert shopper.client.get(order, headers={**JSON, **HTTPS, **pinned}).status_code == 200


def test_over_https_a_cookie_that_is_not_pinned_counts_for_nothing(
    proxied: Web, new_shopper: Callable[[Web], Shopper], make_sale: MakeSale
) -> None:
    sale, shopper = make_sale(), new_shopper(proxied)
    loose = shopper.ticket(sale)
    reply = shopper.buy(sale, loose, {**JSON, **HTTPS})
    failed(reply, "json", 403, "cookies")


def test_without_a_trusted_proxy_nobody_can_claim_https(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    name, _ = cookie(get(shopper, make_sale(), {**PAGE, **HTTPS}))
    assert name == "shopper"


ELSEWHERE = {"Host": "example.com"}


@pytest.mark.parametrize("shape", ["json", "form"])
def test_over_plain_http_a_shop_elsewhere_explains_instead_of_selling(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    reply = get(shopper, make_sale(), {**SHAPES[shape], **ELSEWHERE})
    failed(reply, shape, 403, "insecure")
    assert "<form" not in reply.text
    assert "set-cookie" not in reply.headers
    assert shape == "json" or "https://" in reply.text


@in_each_shape
@pytest.mark.parametrize("known", [True, False], ids=["with a ticket", "without a ticket"])
def test_over_plain_http_nothing_is_sold_elsewhere(
    known: bool, shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale) if known else "none"
    mine = {"Cookie": f"shopper={shopper.client.cookies['shopper']}"} if known else {}
    reply = shopper.buy(sale, ticket, {**SHAPES[shape], **ELSEWHERE, **mine})
    failed(reply, shape, 403, "insecure")
    assert "set-cookie" not in reply.headers
    assert waiting(sale) == 0


@in_each_shape
def test_over_plain_http_an_order_elsewhere_is_not_said_to_be_lost(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    purchase = shopper.buy(make_sale()).json()["purchase"]
    reply = shopper.order(purchase, {**SHAPES[shape], **ELSEWHERE})
    failed(reply, shape, 403, "insecure")


def test_the_redirect_of_a_newcomer_brings_a_cookie(shopper: Shopper, make_sale: MakeSale) -> None:
    reply = shopper.buy(make_sale(), "forged", PAGE)
    assert location(reply).endswith("?message=ticket")
    assert cookie(reply) == ("shopper", LASTING)
