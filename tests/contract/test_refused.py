"""Refusals: nothing is bought and nothing used up, so the same form may be tried again."""

from collections.abc import Callable

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import sale_lifecycle, stock_changes
from tests import deadlines, stack
from tests.cast import PAGE, Shopper, rename, skus
from tests.contract.shapes import buy, in_each_shape, refused, state


def sold_out(make_sale: MakeSale, shopper: Shopper) -> Sale:
    return make_sale(stock=0)


def not_enough(make_sale: MakeSale, shopper: Shopper) -> Sale:
    return make_sale(stock=1, limit=2)


def paused(make_sale: MakeSale, shopper: Shopper) -> Sale:
    sale = make_sale()
    sale_lifecycle.pause(sale.pk, by="staff")
    return sale


def not_open(make_sale: MakeSale, shopper: Shopper) -> Sale:
    return make_sale(opens_in=60)


def closed(make_sale: MakeSale, shopper: Shopper) -> Sale:
    sale = make_sale(closes_in=deadlines.ahead(0.5))
    stack.wait_for(lambda: shopper.sale(sale)["phase"] == "ended", "the sale is over")
    return sale


def ended_early(make_sale: MakeSale, shopper: Shopper) -> Sale:
    sale = make_sale()
    sale_lifecycle.end(sale.pk, by="staff")
    return sale


def ended_before_it_opened(make_sale: MakeSale, shopper: Shopper) -> Sale:
    sale = make_sale(opens_in=60)
    sale_lifecycle.end(sale.pk, by="staff")
    return sale


def more_than_the_limit(make_sale: MakeSale, shopper: Shopper) -> Sale:
    return make_sale(limit=1)


def limit_used_up(make_sale: MakeSale, shopper: Shopper) -> Sale:
    sale = make_sale(limit=2)
    shopper.buy(sale)
    return sale


def taken_by_the_network(make_sale: MakeSale, shopper: Shopper) -> Sale:
    """Somebody else behind the same address was first."""
    sale = make_sale(per_address=1)
    neighbour = Shopper(shopper.url)
    with neighbour.client:
        neighbour.buy(sale)
    return sale


def changed(make_sale: MakeSale, shopper: Shopper) -> Sale:
    """The shopper still has the form from before."""
    sale = make_sale()
    shopper.held = shopper.ticket(sale)
    rename(sale)
    shopper_sees(shopper, sale, "Something else")
    return sale


def shopper_sees(shopper: Shopper, sale: Sale, name: str) -> None:
    stack.wait_for(
        lambda: shopper.sale(sale)["products"][0]["name"] == name, "the page has the new name"
    )


def entered(make_sale: MakeSale, shopper: Shopper) -> Sale:
    sale = make_sale(stock=1, limit=2, draw_in=60)
    assert shopper.buy(sale).status_code == 202
    return sale


def drawing(make_sale: MakeSale, shopper: Shopper) -> Sale:
    sale = make_sale(draw_in=deadlines.ahead(0.5))
    stack.wait_for(lambda: _is_due(shopper.sale(sale)), "the time of the draw has come")
    return sale


def _is_due(told: dict[str, str]) -> bool:
    return told["server_time"] >= told["draw_at"]


REFUSALS: dict[str, tuple[Callable[[MakeSale, Shopper], Sale], int, str]] = {
    "sold out": (sold_out, 1, "sold_out"),
    "fewer left than asked": (not_enough, 2, "not_enough"),
    "paused": (paused, 1, "paused"),
    "not open yet": (not_open, 1, "not_open"),
    "closed": (closed, 1, "closed"),
    "ended early": (ended_early, 1, "closed"),
    "ended before it opened": (ended_before_it_opened, 1, "closed"),
    "changed since the form was made": (changed, 1, "changed"),
    "in the draw already": (entered, 1, "entered"),
    "the draw has begun": (drawing, 1, "drawing"),
    "more than the limit": (more_than_the_limit, 2, "limit"),
    "limit used up": (limit_used_up, 2, "limit"),
    "taken by others of the network": (taken_by_the_network, 1, "network"),
}


@in_each_shape
@pytest.mark.parametrize("why", REFUSALS)
def test_a_refusal_says_why_and_changes_nothing(
    why: str, shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    prepare, quantity, code = REFUSALS[why]
    sale = prepare(make_sale, shopper)
    before = state(sale)
    reply = buy(shopper, sale, shape, quantity=quantity)
    refused(reply, shape, sale, 409, code)
    assert state(sale) == before


@pytest.mark.parametrize(
    "why", ["sold out", "paused", "changed since the form was made", "limit used up"]
)
def test_the_page_that_a_plain_form_is_sent_back_to_says_why(
    why: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    prepare, quantity, code = REFUSALS[why]
    sale = prepare(make_sale, shopper)
    back = shopper.buy(sale, headers=PAGE, quantity=quantity).headers["location"]
    assert f'data-code="{code}"' in shopper.client.get(back, headers=PAGE).text


def test_the_same_form_buys_once_the_sale_goes_on(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = paused(make_sale, shopper)
    ticket = shopper.ticket(sale)
    assert shopper.buy(sale, ticket).status_code == 409
    sale_lifecycle.resume(sale.pk, by="staff")
    assert shopper.buy(sale, ticket).status_code == 202


def test_the_same_form_buys_once_units_have_come_back(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = sold_out(make_sale, shopper)
    ticket = shopper.ticket(sale)
    assert shopper.buy(sale, ticket).status_code == 409
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    assert shopper.buy(sale, ticket).status_code == 202


def test_a_refused_form_buys_another_variant(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(stock={"shoe": 0, "boot": 1})
    ticket = shopper.ticket(sale)
    assert shopper.buy(sale, ticket).json()["reason"] == "sold_out"
    assert shopper.buy(sale, ticket, product=skus(sale)[1]).status_code == 202


def test_what_was_accepted_is_known_while_the_sale_is_paused(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    shopper.buy(sale, ticket)
    sale_lifecycle.pause(sale.pk, by="staff")
    assert shopper.buy(sale, ticket).json()["status"] == "queued"
