"""A sale with a draw or a queue: what a shopper and a program learn before, while and after it is drawn."""

import re
from collections.abc import Callable
from uuid import UUID

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, sale_lifecycle
from orders.draws import steps
from orders.models import Order
from orders.settlement import settle
from tests import stack
from tests.cast import HTMX, PAGE, Shopper, bring_draw_forward, forms, run_caretaker, skus
from tests.contract.shapes import SHAPES, boxes, buy, in_each_shape, location

NewShopper = Callable[[], Shopper]
# A sale of one unit, who was drawn first and second, and their entries.
Drawn = tuple[Sale, tuple[Shopper, Order], tuple[Shopper, Order]]


def enter(sale: Sale, shopper: Shopper, product: str = "") -> Order:
    """An entry that is in PostgreSQL and known to the gate."""
    purchase = shopper.buy(sale, product=product or skus(sale)[0]).json()["purchase"]
    settle(sale.pk)
    return Order.objects.get(pk=purchase)


def draw(sale: Sale) -> None:
    """Carry the draw out, now."""
    bring_draw_forward(sale)
    stack.wait_for(lambda: _is_drawn(sale), "the draw is done")


def _is_drawn(sale: Sale) -> bool:
    run_caretaker()
    sale.refresh_from_db()
    return sale.draw == Sale.Draw.DONE


def told(shopper: Shopper, order: Order) -> dict[str, object]:
    return dict(shopper.order(str(order.pk)).json())


def page_of(shopper: Shopper, sale: Sale, path: str = "") -> str:
    reply = shopper.client.get(f"/sales/{sale.slug}/{path}", headers=PAGE)
    assert reply.status_code == 200, reply.text
    return reply.text


def visible(page: str) -> str:
    """A page without what its scripts show later."""
    while page != (
        outer := re.sub(r"<template((?!<template).)*?</template>", "", page, flags=re.S)
    ):
        page = outer
    return page


def order_page(shopper: Shopper, order: Order) -> str:
    return shopper.order(str(order.pk), PAGE).text


# --- Before the draw ------------------------------------------------------------------------------


def test_an_upcoming_page_says_that_it_is_no_race(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=60, draw_in=120)
    page = page_of(shopper, sale)
    assert 'data-phase="upcoming"' in page
    assert "A draw, not a race: enter between" in page
    assert "10 to be drawn" in page
    assert f'href="/sales/{sale.slug}/draw/"' in page


def test_an_open_page_counts_the_entries_and_says_the_odds(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, draw_in=60)
    assert "Enter the draw" in page_of(shopper, sale)
    for _ in range(3):
        enter(sale, new_shopper())
    stack.wait_for(lambda: "3 entries for 1" in page_of(shopper, sale), "the entries are counted")
    page = page_of(shopper, sale)
    assert "about 33 in 100 entries win" in page
    assert 'data-phase="entering"' in page
    assert "Buy now" not in visible(page)


def test_a_program_reads_how_far_the_draw_is(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=2, draw_in=60)
    enter(sale, new_shopper())
    stack.wait_for(lambda: shopper.sale(sale)["entries"] == 1, "the entry is counted")
    known = shopper.sale(sale)
    assert (known["phase"], known["draw"]) == ("open", "open")
    assert known["draw_at"].endswith("Z")
    [product] = known["products"]
    assert (product["stock"], product["units"], product["entries"]) == (0, 2, 1)


def test_a_sale_by_arrival_says_nothing_of_draws(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    known = shopper.sale(sale)
    assert not {"draw", "draw_at", "entries", "standby"} & known.keys()
    assert known["products"][0].keys() == {"sku", "name", "option", "price", "currency", "stock"}
    page = visible(page_of(shopper, sale))
    main = page.partition("<main")[2].partition("</main>")[0].lower()
    assert "draw" not in main
    assert "queue" not in main


@in_each_shape
def test_an_entry_is_waiting(shape: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(draw_in=60)
    order = enter(sale, shopper)
    if shape == "json":
        known = told(shopper, order)
        assert (known["status"], known["draw"]) == ("waiting", "open")
        assert not {"rank", "place"} & known.keys()
        return
    headers = SHAPES[shape]
    text = shopper.order(str(order.pk), headers).text
    assert boxes(shopper.order(str(order.pk), headers)) == [(str(order.pk), "waiting")]
    assert "You are in the draw." in text
    assert "Take it back" in text
    assert ('http-equiv="refresh"' in text) == (shape == "form")


@in_each_shape
def test_an_entry_is_taken_back_and_another_one_made(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"shoe-42": 1, "shoe-43": 1}, draw_in=60)
    first, second = skus(sale)
    order = enter(sale, shopper, product=first)
    [form] = [form for form in forms(order_page(shopper, order)) if set(form) == {"ticket"}]
    address = f"/orders/{order.pk}/give-back"
    assert shopper.buy(sale, product=second).json()["reason"] == "entered"
    reply = shopper.client.post(address, data=form, headers=SHAPES[shape])
    if shape == "json":
        assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
    elif shape == "htmx":
        assert boxes(reply)[0] == (str(order.pk), "cancelled")
        assert "no longer in the draw" in reply.text
        assert forms(reply.text)[-1].keys() >= {"ticket"}  # to enter again
    else:
        assert location(reply) == f"/orders/{order.pk}/"
        assert "no longer in the draw" in order_page(shopper, order)
    again = enter(sale, shopper, product=second)
    assert (again.status, again.sku) == ("waiting", second)


# --- While it is drawn ----------------------------------------------------------------------------


@in_each_shape
def test_an_entry_cannot_be_taken_back_while_it_is_drawn(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(draw_in=60)
    order = enter(sale, shopper)
    [form] = [form for form in forms(order_page(shopper, order)) if set(form) == {"ticket"}]
    close_entries(sale)
    reply = shopper.client.post(f"/orders/{order.pk}/give-back", data=form, headers=SHAPES[shape])
    if shape == "json":
        assert (reply.status_code, reply.json()["error"]) == (409, "drawing")
    elif shape == "htmx":
        assert (reply.status_code, boxes(reply)) == (409, [(str(order.pk), "waiting")])
    else:
        assert location(reply) == f"/orders/{order.pk}/"
    order.refresh_from_db()
    assert order.status == "waiting"


def close_entries(sale: Sale) -> None:
    """Take the first step of the draw only."""
    bring_draw_forward(sale)
    stack.wait_for(lambda: steps.advance(sale.pk), "the entries are closed")


def test_a_page_says_that_the_draw_is_under_way(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(draw_in=60)
    order = enter(sale, shopper)
    close_entries(sale)
    stack.wait_for(
        lambda: 'data-phase="drawing"' in page_of(shopper, sale), "the page shows the draw"
    )
    assert "The draw is under way" in page_of(shopper, sale)
    assert "It is under way" in order_page(shopper, order)
    assert "Take it back" not in order_page(shopper, order)


def test_while_lots_get_their_outcomes_no_stock_or_odds_are_shown(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    """Both shrink with each batch, and say nothing about the draw."""
    sale = make_sale(draw_in=60)
    enter(sale, shopper)
    close_entries(sale)
    stack.wait_for(lambda: _is_frozen(sale), "the entries are frozen")
    stack.wait_for(lambda: "Being drawn" in page_of(shopper, sale), "the page shows the draw")
    page = visible(page_of(shopper, sale))
    assert "entry for" not in page
    assert "every entry wins" not in page


def _is_frozen(sale: Sale) -> bool:
    steps.advance(sale.pk)
    sale.refresh_from_db()
    return sale.draw == Sale.Draw.FROZEN


# --- After the draw -------------------------------------------------------------------------------


def two_entries(make_sale: MakeSale, new_shopper: NewShopper, **rules: object) -> Drawn:
    sale = make_sale(stock=1, draw_in=60, **rules)
    entered = {enter(sale, one): one for one in (new_shopper(), new_shopper())}
    draw(sale)
    orders = sorted(entered, key=lambda order: _rank(order))
    first, second = orders
    return sale, (entered[first], first), (entered[second], second)


def _rank(order: Order) -> int:
    order.refresh_from_db()
    rank = order.lot.rank
    assert rank
    return rank


@pytest.mark.parametrize("hold", [0, 10])
def test_who_was_drawn_reads_the_rank(
    hold: int, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, (winner, order), _ = two_entries(make_sale, new_shopper, hold=hold)
    known = told(winner, order)
    assert known["status"] == ("held" if hold else "confirmed")
    assert (known["rank"], known["draw"]) == (1, "done")
    page = order_page(winner, order)
    assert "You were drawn: rank 1 of 2." in page
    assert f'href="/sales/{sale.slug}/draw/"' in page


@in_each_shape
def test_who_was_not_drawn_reads_why_and_where_to_check(
    shape: str, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, _, (loser, order) = two_entries(make_sale, new_shopper)
    if shape == "json":
        known = told(loser, order)
        assert (known["status"], known["reason"], known["rank"]) == ("rejected", "not_drawn", 2)
        return
    text = loser.order(str(order.pk), SHAPES[shape]).text
    assert "Others were drawn" in text
    assert f'href="/sales/{sale.slug}/draw/"' in text
    if shape == "form":
        assert "Your rank in the draw: 2 of 2." in text
        assert "About 50 in 100 entries won." in text


def test_who_is_passed_over_waits_at_a_place_that_moves_up(
    new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, (_, won), (loser, order) = two_entries(make_sale, new_shopper, standby=True)
    late = new_shopper()
    stack.wait_for(lambda: "Join the queue" in page_of(late, sale), "the page knows of the queue")
    behind = enter(sale, late)
    assert (told(loser, order)["place"], told(late, behind)["place"]) == (1, 2)
    assert "You are the next in the queue." in order_page(loser, order)
    assert "1 waits before you." in order_page(late, behind)
    assert "Your place in the queue: <strong>2</strong>" in page_of(late, sale)
    cancellation.cancel_order(won.pk, by="staff")
    run_caretaker()
    assert told(loser, order)["status"] == "confirmed"
    assert told(late, behind)["place"] == 1


def test_who_got_what_came_back_is_not_told_to_be_drawn(
    new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    _, (winner, won), (second, order) = two_entries(make_sale, new_shopper, standby=True)
    assert "You were drawn: rank 1 of 2." in order_page(winner, won)
    cancellation.cancel_order(won.pk, by="staff")
    run_caretaker()
    page = order_page(second, order)
    assert "Your rank in the draw: 2 of 2." in page
    assert "You were drawn" not in page


def test_who_waits_when_the_sale_ends_reads_that_nothing_came_back(
    new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, _, (loser, order) = two_entries(make_sale, new_shopper, standby=True)
    sale_lifecycle.end(sale.pk, by="staff")
    run_caretaker()
    assert told(loser, order)["reason"] == "sold_out"
    assert "The sale ended before enough came back." in order_page(loser, order)


# --- A queue without a draw -----------------------------------------------------------------------


@in_each_shape
def test_a_sold_out_sale_offers_a_queue(
    shape: str, shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=1, standby=True)
    enter(sale, new_shopper())
    stack.wait_for(lambda: "Join the queue" in page_of(shopper, sale), "it is sold out")
    reply = buy(shopper, sale, shape)
    assert reply.status_code == (303 if shape == "form" else 202)
    settle(sale.pk)
    order = sale.orders.get(status="waiting")
    assert told(shopper, order)["place"] == 1
    assert shopper.sale(sale)["products"][0]["queue"] == 1
    [form] = [form for form in forms(order_page(shopper, order)) if set(form) == {"ticket"}]
    left = shopper.client.post(f"/orders/{order.pk}/give-back", data=form, headers=HTMX)
    assert boxes(left) == [(str(order.pk), "cancelled")]


def test_an_order_that_was_sold_at_once_has_no_story(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, standby=True)
    order = enter(sale, shopper)
    assert "What has happened" not in order_page(shopper, order)
    assert not {"rank", "place"} & told(shopper, order).keys()


def test_somebody_else_reads_nothing_of_an_entry(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(draw_in=60)
    order = enter(sale, shopper)
    assert new_shopper().order(str(UUID(int=order.pk.int))).status_code == 404
