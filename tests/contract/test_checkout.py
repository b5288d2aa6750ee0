"""The checkout of a held order, over HTTP: who may open it, what it takes, and what it answers."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.db import transaction

from accounts import contacts
from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, holds, order_links
from orders.models import Order, OutboxRow
from orders.order_status import Status
from tests.cast import HTMX, PAGE, Shopper, end_holds
from tests.checkouts import ANNA, TERMS, held_by, page_of, sale_with_checkout
from tests.contract.shapes import location, not_on_this_device

NewShopper = Callable[[], Shopper]


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    return sale_with_checkout(make_sale)


@pytest.fixture
def order(shopper: Shopper, sale: Sale) -> Order:
    return held_by(shopper, sale)


def look(shopper: Shopper, order: Order, query: str = "") -> httpx.Response:
    return shopper.client.get(page_of(order.pk) + query, headers=PAGE)


def send(shopper: Shopper, order: Order, **fields: str) -> httpx.Response:
    """Send the form as the page has it, with these fields."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', look(shopper, order).text)
    form = {**fields, "csrfmiddlewaretoken": token[1] if token else ""}
    return shopper.client.post(page_of(order.pk), data=form, headers=PAGE)


def status_of(order: Order) -> str:
    order.refresh_from_db()
    return str(order.status)


def told(order: Order) -> list[str]:
    return list(OutboxRow.objects.filter(order=order).values_list("event", flat=True))


def faults(page: httpx.Response) -> list[str]:
    return re.findall(r'<p class="fault" id="id_(\w+)_error">', page.text)


# --- Who may open it ------------------------------------------------------------------------------


def test_its_shopper_sees_the_form_and_no_cache_keeps_it(shopper: Shopper, order: Order) -> None:
    page = look(shopper, order)
    assert page.status_code == 200
    for name in ANNA:
        assert f'name="{name}"' in page.text
    assert "no-store" in page.headers["cache-control"]
    assert page.headers["x-robots-tag"] == "noindex"
    assert page.headers["referrer-policy"] == "same-origin"
    assert "€129.00" in page.text


@pytest.mark.parametrize("path", ["", "back"])
def test_others_and_those_who_guess_see_the_same_as_on_the_orders_page(
    path: str, new_shopper: NewShopper, order: Order, sale: Sale
) -> None:
    other = new_shopper()
    other.ticket(sale)
    unknown = str(order.pk)[:-4] + "0000"
    for who in (other, new_shopper()):
        for number in (order.pk, unknown, "nonsense"):
            page = who.client.get(f"/orders/{number}/checkout/{path}", headers=PAGE)
            not_on_this_device(page, "form")
            assert page.text == other.order(unknown, headers=PAGE).text


def test_the_link_of_an_order_opens_its_checkout_on_another_device(
    new_shopper: NewShopper, shopper: Shopper, order: Order, sale: Sale
) -> None:
    other = new_shopper()
    opened = look(other, order, f"?key={order_links.key_of(order.pk)}")
    assert opened.status_code == 303
    assert location(opened) == page_of(order.pk)
    cookie = opened.headers["set-cookie"]
    assert f"Path=/orders/{order.pk}/" in cookie
    assert "HttpOnly" in cookie
    assert look(other, order).status_code == 200
    assert location(send(other, order, **ANNA)) == f"/orders/{order.pk}/"
    second = held_by(new_shopper(), sale)
    assert look(other, second).status_code == 404  # it opens this order alone


def test_another_orders_key_opens_nothing(
    new_shopper: NewShopper, order: Order, sale: Sale
) -> None:
    second = held_by(new_shopper(), sale)
    assert look(new_shopper(), order, f"?key={order_links.key_of(second.pk)}").status_code == 404


def test_what_another_order_has_is_offered_to_the_shopper_only(
    new_shopper: NewShopper, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = sale_with_checkout(make_sale, stock=5, limit=3)
    first = held_by(shopper, sale)
    send(shopper, first, **ANNA)
    second = held_by(shopper, sale)
    assert 'value="Anna Öz"' in look(shopper, second).text
    other = new_shopper()
    look(other, second, f"?key={order_links.key_of(second.pk)}")
    page = look(other, second)
    assert page.status_code == 200
    assert "Anna" not in page.text


# --- What it takes --------------------------------------------------------------------------------


def test_a_full_form_confirms_the_order_and_keeps_the_contact(
    shopper: Shopper, order: Order
) -> None:
    assert location(send(shopper, order, **ANNA, phone="0221 123456")) == f"/orders/{order.pk}/"
    assert status_of(order) == "confirmed"
    contact = contacts.read(order.pk)
    assert contact
    assert (contact.details.email, contact.details.phone) == ("anna@example.com", "+49221123456")
    assert contact.language == "en"
    assert "secured" in told(order)


def test_what_is_missing_is_said_beside_its_field_and_nothing_is_kept(
    shopper: Shopper, order: Order
) -> None:
    page = send(shopper, order, **{**ANNA, "email": "anna", "postcode": "5066", "city": " "})
    assert page.status_code == 422
    assert faults(page) == ["email", "postcode", "city"]
    for name in ("email", "postcode", "city"):
        assert f'<a href="#id_{name}">' in page.text
        assert re.search(rf'aria-describedby="[^"]*\bid_{name}_error"', page.text)
    assert 'value="Anna Öz"' in page.text
    assert status_of(order) == "held"
    assert contacts.read(order.pk) is None
    assert told(order) == []


def test_a_form_that_is_sent_twice_has_one_result(shopper: Shopper, order: Order) -> None:
    page = look(shopper, order).text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {**ANNA, "csrfmiddlewaretoken": token[1]}
    for _ in range(2):
        reply = shopper.client.post(page_of(order.pk), data=form, headers=PAGE)
        assert location(reply) == f"/orders/{order.pk}/"
    assert told(order).count("secured") == 1


def test_a_form_of_another_site_is_not_taken(shopper: Shopper, order: Order) -> None:
    reply = shopper.client.post(page_of(order.pk), data=ANNA, headers=PAGE)
    assert reply.status_code == 403
    assert "send it once more" in reply.text
    assert status_of(order) == "held"


@pytest.mark.parametrize("ask", ["", "email"])
def test_only_what_the_sale_asks_is_asked(ask: str, shopper: Shopper, make_sale: MakeSale) -> None:
    order = held_by(shopper, sale_with_checkout(make_sale, ask))
    page = look(shopper, order).text
    assert ('name="email"' in page) == (ask == "email")
    assert 'name="country"' not in page
    send(shopper, order, **({"email": "anna@example.com"} if ask else {}))
    assert status_of(order) == "confirmed"
    assert (contacts.read(order.pk) is not None) == (ask == "email")


def test_terms_are_shown_and_must_be_accepted(shopper: Shopper, make_sale: MakeSale) -> None:
    order = held_by(shopper, sale_with_checkout(make_sale, "", terms=TERMS, price_note="no VAT"))
    page = look(shopper, order).text
    assert "<strong>14 days</strong>" in page
    assert "no VAT" in page
    assert faults(send(shopper, order)) == ["terms"]
    assert status_of(order) == "held"
    send(shopper, order, terms="on")
    assert status_of(order) == "confirmed"
    contact = contacts.read(order.pk)
    assert contact
    assert contact.terms_accepted_at
    assert "secured" not in told(order)


def test_another_country_is_chosen_without_scripts(shopper: Shopper, order: Order) -> None:
    typed = {**ANNA, "country": "US", "shown": "DE", "change": "1"}
    page = send(shopper, order, **typed)
    assert page.status_code == 200
    assert faults(page) == []
    assert "California" in page.text
    assert "ZIP code" in page.text
    assert 'value="Anna Öz"' in page.text
    assert 'name="shown" value="US"' in page.text
    # Enter presses the form's first button: it sends the form if the country is the same.
    assert location(send(shopper, order, **ANNA, shown="DE", change="1"))


def test_another_country_is_chosen_with_scripts(shopper: Shopper, order: Order) -> None:
    part = shopper.client.get(page_of(order.pk), params={"country": "JP"}, headers=HTMX)
    assert part.status_code == 200
    assert "Prefecture" in part.text
    assert "Hokkaido" in part.text
    assert "<html" not in part.text
    assert "no-store" in part.headers["cache-control"]


def test_it_speaks_german(shopper: Shopper, order: Order) -> None:
    german = {**PAGE, "Accept-Language": "de"}
    page = shopper.client.get(page_of(order.pk), headers=german).text
    for words in ("Kasse", "Österreich", "Postleitzahl", "129,00", "(freiwillig)"):
        assert words in page


# --- How it ends ----------------------------------------------------------------------------------


def test_what_has_expired_is_gone(shopper: Shopper, order: Order, sale: Sale) -> None:
    end_holds(sale)
    assert holds.expire(sale.pk, [order.variant_id or 0]) == 1
    for reply in (look(shopper, order), send(shopper, order, **ANNA)):
        assert reply.status_code in (403, 410)  # 403: the page has no form, and so no token
    page = look(shopper, order)
    assert page.status_code == 410
    assert "on sale again" in page.text


def test_a_form_that_comes_as_the_hold_expires_is_told_so(
    shopper: Shopper, order: Order, sale: Sale
) -> None:
    page = look(shopper, order).text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    end_holds(sale)
    holds.expire(sale.pk, [order.variant_id or 0])
    form = {**ANNA, "csrfmiddlewaretoken": token[1]}
    reply = shopper.client.post(page_of(order.pk), data=form, headers=PAGE)
    assert reply.status_code == 410
    assert contacts.read(order.pk) is None


def test_what_was_given_back_is_gone(shopper: Shopper, order: Order) -> None:
    cancellation.give_back(order.pk)
    page = look(shopper, order)
    assert page.status_code == 410
    assert "You gave" in page.text


def test_what_is_confirmed_shows_what_was_given(shopper: Shopper, order: Order) -> None:
    send(shopper, order, **ANNA)
    page = look(shopper, order)
    assert page.status_code == 200
    assert "Hauptstr. 1" in page.text
    assert "Germany" in page.text
    assert "Hauptstr. 1" not in shopper.order(str(order.pk), headers=PAGE).text
    assert location(look_back(shopper, order)) == f"/orders/{order.pk}/"


def look_back(shopper: Shopper, order: Order) -> httpx.Response:
    return shopper.client.get(page_of(order.pk) + "back", headers=PAGE)


def test_an_order_that_was_sold_at_once_has_no_checkout(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    order = held_by(shopper, make_sale())
    assert order.status == Status.CONFIRMED
    assert location(look(shopper, order)) == f"/orders/{order.pk}/"


def test_who_had_their_contact_erased_is_told_so(shopper: Shopper, order: Order) -> None:
    with transaction.atomic():
        details = contacts.Details(email="anna@example.com")
        contacts.save(order.pk, details, language="en", accepted_terms=False)
    contacts.erase([order.pk])
    page = send(shopper, order, **ANNA)
    assert page.status_code == 409
    assert "were erased" in page.text


def test_the_contact_is_in_no_log(shopper: Shopper, order: Order, web: Any) -> None:
    send(shopper, order, **ANNA)
    for text in ("anna@example.com", "Hauptstr"):
        assert text not in web.logged()
