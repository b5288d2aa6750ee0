"""What became of a purchase, told to its shopper and to nobody else."""

import re
from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid4

import httpx
import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import finishing, sale_lifecycle, tickets
from orders.reference import reference
from orders.settlement import settle
from tests.cast import HTMX, JSON, PAGE, Shopper, forms, skus
from tests.contract.fates import FATES, decided
from tests.contract.shapes import (
    SHAPES,
    WORDS,
    boxes,
    in_each_shape,
    not_on_this_device,
    purchase_in,
)

NewShopper = Callable[[], Shopper]


def test_a_program_learns_what_it_bought(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(limit=2)
    purchase = shopper.buy(sale, quantity=2).json()["purchase"]
    expected = {
        "purchase": purchase,
        "status": "queued",
        "reason": "",
        "product": skus(sale)[0],
        "quantity": 2,
        "unit_price": 12900,
        "total": 25800,
        "currency": "EUR",
    }
    assert shopper.order(purchase).json() == expected
    settle(sale.pk)
    assert shopper.order(purchase).json() == {**expected, "status": "confirmed"}


@pytest.mark.parametrize("fate", FATES)
def test_a_program_learns_what_was_decided(
    fate: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    _, ticket = decided(fate, shopper, make_sale)
    told = shopper.order(str(purchase_in(ticket))).json()
    assert (told["status"], told["reason"]) == FATES[fate]


def test_the_outcome_is_known_long_after_the_sale(shopper: Shopper, make_sale: MakeSale) -> None:
    sale, ticket = decided("confirmed", shopper, make_sale)
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    assert shopper.order(str(purchase_in(ticket))).json()["status"] == "confirmed"


def test_the_page_of_an_order_says_all_that_was_agreed_on(
    new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=2)
    for shopper in (new_shopper(), new_shopper()):  # their pages are alike: one is kept for both
        purchase = shopper.buy(sale, quantity=2).json()["purchase"]
        page = shopper.order(purchase, PAGE).text
        assert f'<span class="reference">{reference(UUID(purchase))}</span>' in page
        assert "<dt>Unit price</dt><dd>€129.00</dd>" in page
        assert "<dt>Total</dt><dd>€258.00</dd>" in page
        assert '<button type="button" class="print" hidden>' in page
        assert "<dt>Accepted</dt>" in page


def test_long_after_the_sale_the_page_still_says_when_that_was(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided("confirmed", shopper, make_sale)
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    order = sale.orders.get(pk=purchase_in(ticket))
    page = shopper.order(str(order.pk), PAGE).text
    accepted = re.search(r'<dt>Accepted</dt><dd><time datetime="([^"]+)">', page)
    assert accepted
    assert datetime.fromisoformat(accepted[1]) == order.accepted_at.replace(microsecond=0)


def test_a_box_that_asks_while_its_purchase_waits_is_told_to_go_on(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    purchase = shopper.buy(make_sale()).json()["purchase"]
    reply = shopper.order(purchase, HTMX)
    assert (reply.status_code, reply.content) == (204, b"")


@pytest.mark.parametrize("fate", FATES)
def test_a_box_that_asks_gets_what_was_decided(
    fate: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    _, ticket = decided(fate, shopper, make_sale)
    status, reason = FATES[fate]
    reply = shopper.order(str(purchase_in(ticket)), HTMX)
    assert (reply.status_code, boxes(reply)[0]) == (200, (str(purchase_in(ticket)), status))
    assert WORDS.get(reason, "") in reply.text
    assert len(forms(reply.text)) == (status == "rejected")


def test_after_a_rejection_the_box_brings_a_form_that_buys(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided("over the limit", shopper, make_sale)
    reply = shopper.order(str(purchase_in(ticket)), HTMX)
    assert f'<section id="buy-{skus(sale)[0]}"' in reply.text
    [form] = forms(reply.text)
    assert shopper.buy(sale, headers=JSON, **form).status_code == 202


def test_the_box_on_the_orders_own_page_where_no_form_is_stays_alone(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    _, ticket = decided("sold out", shopper, make_sale)
    path = f"/orders/{purchase_in(ticket)}/"
    reply = shopper.client.get(path, headers={**HTMX, "HX-Current-URL": shopper.url + path})
    assert boxes(reply) == [(str(purchase_in(ticket)), "rejected")]
    assert forms(reply.text) == []


@pytest.mark.parametrize("address", ["http://[", "/orders/", "", "\x00"])
def test_an_odd_address_of_a_page_is_no_orders_page(
    address: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    _, ticket = decided("sold out", shopper, make_sale)
    headers = {**HTMX, "HX-Current-URL": address.replace("\x00", "%00")}
    reply = shopper.order(str(purchase_in(ticket)), headers)
    assert (reply.status_code, len(forms(reply.text))) == (200, 1)


def test_the_box_of_an_earlier_purchase_stays_alone(shopper: Shopper, make_sale: MakeSale) -> None:
    _, ticket = decided("sold out", shopper, make_sale)
    reply = shopper.client.get(f"/orders/{purchase_in(ticket)}/?own", headers=HTMX)
    assert (boxes(reply)[0][1], forms(reply.text)) == ("rejected", [])


@pytest.mark.parametrize("fate", FATES)
def test_the_page_of_an_order_tells_what_was_decided(
    fate: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided(fate, shopper, make_sale)
    page = shopper.order(str(purchase_in(ticket)), PAGE)
    status, reason = FATES[fate]
    assert (page.status_code, boxes(page)) == (200, [(str(purchase_in(ticket)), status)])
    assert WORDS.get(reason, "") in page.text
    assert "258.00" in page.text
    assert f'href="/sales/{sale.slug}/"' in page.text


def test_the_page_of_an_order_that_waits_looks_again_by_itself_without_javascript(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    assert 'http-equiv="refresh"' in shopper.order(purchase, PAGE).text
    settle(sale.pk)
    assert 'http-equiv="refresh"' not in shopper.order(purchase, PAGE).text


def test_asking_only_for_the_headers_of_an_order(shopper: Shopper, make_sale: MakeSale) -> None:
    purchase = shopper.buy(make_sale()).json()["purchase"]
    head = shopper.client.head(f"/orders/{purchase}/", headers=PAGE)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(shopper.order(purchase, PAGE).content))


def without_date(reply: httpx.Response) -> tuple[int, dict[str, str], str]:
    headers = {name: value for name, value in reply.headers.items() if name != "date"}
    return reply.status_code, headers, reply.text


STRANGERS = ["another shopper", "nobody", "a forged cookie"]


@in_each_shape
@pytest.mark.parametrize("fate", ["waiting", "confirmed"])
def test_another_shoppers_purchase_is_as_unknown_as_one_that_never_was(
    fate: str, shape: str, shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale: Sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    if fate == "confirmed":
        settle(sale.pk)
    for who in STRANGERS:
        stranger = new_shopper()
        if who == "another shopper":
            stranger.sale(sale)
        elif who == "a forged cookie":
            forged = shopper.client.cookies["shopper"][:-8] + "AAAAAAA="
            stranger.client.cookies.set("shopper", forged)
        theirs = stranger.order(purchase, SHAPES[shape])
        not_on_this_device(theirs, shape)
        never_was = stranger.order(str(tickets.new_purchase(sale.pk)), SHAPES[shape])
        assert without_date(theirs) == without_date(never_was), who


@in_each_shape
def test_a_purchase_of_no_sale_is_not_found(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    shopper.sale(make_sale())
    not_on_this_device(shopper.order(str(uuid4()), SHAPES[shape]), shape)


@pytest.mark.parametrize("spelt", [str.upper, lambda number: number.replace("-", "")])
def test_the_number_of_an_order_is_read_however_it_is_spelt(
    spelt: Callable[[str], str], shopper: Shopper, make_sale: MakeSale
) -> None:
    purchase = shopper.buy(make_sale()).json()["purchase"]
    assert shopper.order(spelt(purchase)).json() == shopper.order(purchase).json()


@in_each_shape
def test_a_number_that_is_none_is_not_found_on_this_device(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    """A link that was cut off in a mail, or the short reference of an order."""
    purchase = shopper.buy(make_sale()).json()["purchase"]
    for number in ("{}x", "{:.30}", "{:.7}G", "1", "K7M2P9", "%3C{}%3E", "é", "%00"):
        not_on_this_device(shopper.order(number.format(purchase), SHAPES[shape]), shape)


def test_where_else_to_look_is_said_in_the_shoppers_language(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    german = {**PAGE, "Accept-Language": "de"}
    page = shopper.order(str(tickets.new_purchase(make_sale().pk)), german)
    assert "auf diesem Gerät nicht zu finden" in page.text
    assert "nichts gekauft" not in page.text
