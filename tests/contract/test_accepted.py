"""A click that is accepted, and the same form sent again, however late."""

import pytest

from conftest import MakeSale
from orders import finishing, sale_lifecycle, stock_changes
from orders.settlement import settle
from tests import stack
from tests.cast import HTMX, JSON, PAGE, Shopper, forms
from tests.contract.fates import FATES, decided
from tests.contract.shapes import (
    SHAPES,
    answered,
    buy,
    in_each_shape,
    purchase_in,
    refused,
    state,
    waiting,
)


@in_each_shape
def test_a_click_puts_its_shopper_in_line(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    answered(buy(shopper, sale, shape, ticket), shape, ticket, "queued")
    assert waiting(sale) == 1


@in_each_shape
def test_the_same_form_again_keeps_its_place_and_takes_no_second(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=5)
    ticket = shopper.ticket(sale)
    shopper.buy(sale, ticket)
    answered(buy(shopper, sale, shape, ticket), shape, ticket, "queued")
    assert waiting(sale) == 1


@in_each_shape
@pytest.mark.parametrize("fate", FATES)
def test_the_same_form_again_tells_what_was_decided(
    fate: str, shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided(fate, shopper, make_sale)
    before = state(sale)
    reply = buy(shopper, sale, shape, ticket, quantity=2)
    answered(reply, shape, ticket, *FATES[fate])
    assert state(sale) == before


@pytest.mark.parametrize("fate", ["confirmed", "sold out"])
def test_long_after_the_sale_the_same_form_still_tells_it(
    fate: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided(fate, shopper, make_sale)
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)  # from here on only PostgreSQL knows
    stack.wait_for(
        lambda: shopper.buy(sale, ticket, quantity=2).status_code != 503, "the shop has noticed"
    )
    for shape in SHAPES:
        reply = buy(shopper, sale, shape, ticket, quantity=2)
        answered(reply, shape, ticket, *FATES[fate])
        refused(buy(shopper, sale, shape), shape, sale, 409, "closed")
    changed = shopper.buy(sale, ticket, quantity=1)
    assert (changed.status_code, changed.json()["error"]) == (422, "ticket_reused")


def test_one_unit_is_bought_where_no_quantity_is_said(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=5)
    shopper.buy(sale)
    settle(sale.pk)
    assert sale.orders.get().quantity == 1


def test_the_box_of_who_waits_holds_the_same_form_in_case_its_place_is_lost(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=5)
    ticket = shopper.ticket(sale)
    [form] = forms(shopper.buy(sale, ticket, HTMX, quantity=2).text)
    assert form["ticket"] == ticket
    assert shopper.buy(sale, headers=HTMX, **form).status_code == 202
    assert waiting(sale) == 1


def test_after_a_rejection_the_page_gets_a_form_that_buys(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided("sold out", shopper, make_sale)
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    reply = shopper.buy(sale, ticket, HTMX, quantity=2)
    assert f'<section id="buy-{sale.variants.get().sku}"' in reply.text
    [form] = forms(reply.text)
    assert form["ticket"] != ticket
    assert shopper.buy(sale, headers=JSON, **form).status_code == 202


def test_a_plain_form_leads_to_a_page_that_tells_the_outcome(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    order = shopper.buy(sale, headers=PAGE).headers["location"]
    assert 'data-status="queued"' in shopper.client.get(order).text
    settle(sale.pk)
    assert 'data-status="confirmed"' in shopper.client.get(order).text


def test_a_ticket_carries_the_id_of_its_purchase(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    assert shopper.buy(sale, ticket).json()["purchase"] == str(purchase_in(ticket))
