"""What is sold is what the form showed: after a change its click is refused, with what is sold now."""

import base64
from dataclasses import replace

import pytest
from django.db import transaction

from conftest import MakeSale
from flashsale.http import shoppers, signing
from inventory.models import Sale, Variant
from inventory.products import Product
from orders import tickets
from orders.offer_changes import announce_to_pages
from orders.settlement import settle
from storefront import catalogue
from tests import stack
from tests.cast import HTMX, JSON, PAGE, Shopper, click, forms, rename, shown_in, skus
from tests.contract.shapes import (
    SHAPES,
    answered,
    boxes,
    buy,
    in_each_shape,
    purchase_in,
    refused,
    state,
)

NOW = "Red Runner"


def renamed(sale: Sale, shopper: Shopper) -> None:
    """The shopper's process has heard of it."""
    rename(sale, NOW)
    stack.wait_for(
        lambda: {each["name"] for each in shopper.sale(sale)["products"]} == {NOW}, "it is renamed"
    )


def test_the_refusal_of_a_program_says_what_is_sold_now_with_a_ticket_that_buys_it(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    renamed(sale, shopper)
    told = shopper.buy(sale, ticket).json()
    assert [product["name"] for product in told["products"]] == [NOW]
    assert shopper.buy(sale, told["ticket"]).status_code == 202


def test_the_fragment_shows_what_is_sold_now_with_a_form_that_buys_it(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    [form] = forms(shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text)
    renamed(sale, shopper)
    reply = shopper.buy(sale, headers=HTMX, **form)
    assert (reply.status_code, boxes(reply)[0][1]) == (409, "refused")
    sku = skus(sale)[0]
    assert reply.text.startswith(f'<section id="buy-{sku}"')  # in the place of the old form
    assert f'<div id="facts-{sku}" class="facts" hx-swap-oob="true">' in reply.text
    assert NOW in reply.text.partition('class="facts"')[2]
    assert f'<div id="pictures-{sku}"' in reply.text
    [fresh] = forms(reply.text)
    assert shopper.buy(sale, headers=HTMX, **fresh).status_code == 202


def test_the_page_that_a_plain_form_is_sent_back_to_shows_and_sells_what_is_now(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    [form] = forms(shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text)
    renamed(sale, shopper)
    back = shopper.buy(sale, headers=PAGE, **form).headers["location"]
    page = shopper.client.get(back, headers=PAGE).text
    assert 'data-code="changed"' in page
    assert NOW in page
    [fresh] = forms(page)
    assert shopper.buy(sale, headers=PAGE, **fresh).headers["location"].startswith("/orders/")


@in_each_shape
@pytest.mark.parametrize("settled", [True, False], ids=["decided", "in line"])
def test_a_form_that_has_bought_gets_its_answer_whatever_has_changed_since(
    settled: bool, shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    assert shopper.buy(sale, ticket).status_code == 202
    if settled:
        settle(sale.pk)
    renamed(sale, shopper)
    status = "confirmed" if settled else "queued"
    answered(buy(shopper, sale, shape, ticket), shape, ticket, status)


def test_a_form_is_bound_to_its_own_product_and_a_program_to_the_whole_sale(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale({"shoe": 5, "boot": 5})
    shoe, boot = forms(shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text)
    programs = shopper.ticket(sale)
    Product.objects.filter(variants__sku=boot["product"]).update(name=NOW)
    stack.wait_for(lambda: NOW in str(shopper.sale(sale)["products"]), "it is renamed")
    assert shopper.buy(sale, programs, product=shoe["product"]).json()["reason"] == "changed"
    assert shopper.buy(sale, headers=JSON, **boot).json()["reason"] == "changed"
    # Not even for what has not changed: the form offers something else.
    assert shopper.buy(sale, boot["ticket"], product=shoe["product"]).json()["reason"] == "changed"
    assert shopper.buy(sale, headers=JSON, **shoe).status_code == 202


def test_a_form_with_options_is_bound_to_all_of_them(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale({"shoe": 5, "shoe-": 5})  # of one name
    [form] = forms(shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text)
    small, large = skus(sale)
    Variant.objects.filter(sku=large).update(option=NOW)
    stack.wait_for(lambda: NOW in str(shopper.sale(sale)["products"]), "it is another option")
    assert shopper.buy(sale, form["ticket"], product=small).json()["reason"] == "changed"


def test_a_click_on_a_process_that_is_behind_is_refused_and_buys_nothing(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    """The form comes from a process that knows a change which this one does not."""
    sale, who = make_sale(), shoppers.new_shopper()
    shopper.client.cookies["shopper"] = shoppers.cookie_value(who)
    shopper.sale(sale)
    card = catalogue.card(pk=sale.pk)
    assert card
    ahead = replace(card, variants=tuple(replace(v, price=v.price + 1) for v in card.variants))
    before = state(sale)
    for shape in SHAPES:
        ticket = tickets.issue(sale.pk, who, ahead.shown.sale)
        refused(buy(shopper, sale, shape, ticket), shape, sale, 409, "changed")
    assert state(sale) == before
    assert shopper.buy(sale, tickets.issue(sale.pk, who, card.shown.sale)).status_code == 202


# --- Tickets of version 0.1.0 do not say what their form showed ------------------------------------


def released_ticket(sale: Sale, shopper: Shopper) -> str:
    who = shoppers.new_shopper()
    shopper.client.cookies["shopper"] = shoppers.cookie_value(who)
    purchase = tickets.new_purchase(sale.pk).bytes
    raw = purchase + signing.sign("ticket", purchase + who.bytes)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@in_each_shape
def test_a_form_of_the_last_release_is_refused_with_a_fresh_one(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = released_ticket(sale, shopper)
    reply = buy(shopper, sale, shape, ticket)
    refused(reply, shape, sale, 409, "changed")
    again = reply.json()["ticket"] if shape == "json" else ""
    if shape == "htmx":
        again = forms(reply.text)[0]["ticket"]
    if shape == "form":
        again = forms(shopper.client.get(reply.headers["location"], headers=PAGE).text)[0]["ticket"]
    assert shopper.buy(sale, again).status_code == 202


@in_each_shape
def test_a_form_of_the_last_release_that_has_bought_gets_its_answer(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = released_ticket(sale, shopper)
    who = shoppers.shopper_in(shopper.client.cookies["shopper"])
    assert who
    assert click(sale, purchase_in(ticket), who).code == "queued"
    answered(buy(shopper, sale, shape, ticket), shape, ticket, "queued")
    settle(sale.pk)
    assert sale.orders.get().status == "confirmed"  # its entry has no digest
    answered(buy(shopper, sale, shape, ticket), shape, ticket, "confirmed")


# --- Pages that are open ---------------------------------------------------------------------------


def test_a_page_that_looks_different_gets_all_that_has_changed_with_fresh_forms(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale({"shoe": 5, "boot": 5}, limit=2)
    path = f"/sales/{sale.slug}/"
    look = shopper.client.get(path, headers=PAGE).text.partition('data-look="')[2][:16]
    same = shopper.client.get(path, headers={**HTMX, "X-Look": look})
    assert "x-look" not in same.headers
    assert forms(same.text) == []
    renamed(sale, shopper)
    other = shopper.client.get(path, headers={**HTMX, "X-Look": look})
    assert other.headers["x-look"] != look
    assert f'data-look="{other.headers["x-look"]}"' in other.text  # of its state
    [form, _] = forms(other.text)
    sku = skus(sale)[0]
    for part in f'<div id="pictures-{sku}"', f'<div id="facts-{sku}"', f'<section id="buy-{sku}"':
        assert part in other.text
    assert NOW in other.text
    bought = shopper.buy(sale, headers=JSON, ticket=form["ticket"], product=sku)
    assert bought.status_code == 202
    asked = shopper.client.get(path, headers=HTMX)  # as a page of the last release does
    assert forms(asked.text) == []


@pytest.mark.parametrize("field", ["description", "size_guide"])
def test_texts_change_the_look_but_refuse_no_form(
    field: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket, before = shopper.ticket(sale), catalogue.card(pk=sale.pk)
    Product.objects.filter(variants__sales=sale).update(**{field: "Said in other words."})
    after = catalogue.card(pk=sale.pk)
    assert before
    assert after
    assert before.shown.look != after.shown.look
    assert before.shown.sale == after.shown.sale == shown_in(sale.pk)
    assert shopper.buy(sale, ticket).status_code == 202


def test_announcing_is_for_what_pages_show(make_sale: MakeSale) -> None:
    sale = make_sale()
    for fields, raised in ({"stock"}, 0), ({"description"}, 1), ({"pictures"}, 1), ({"name"}, 1):
        before = Sale.objects.get(pk=sale.pk).version
        with transaction.atomic():
            announce_to_pages(fields, [Sale.objects.select_for_update().get(pk=sale.pk)])
        assert Sale.objects.get(pk=sale.pk).version == before + raised
