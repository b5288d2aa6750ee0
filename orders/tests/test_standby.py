"""Standby: who comes too late waits in order, and gets what comes back."""

from collections.abc import Callable
from unittest.mock import patch

import pytest

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Sale
from orders import (
    cancellation,
    caretaker,
    finishing,
    holds,
    reconciliation,
    sale_lifecycle,
    settlement,
    standby,
    stock_changes,
)
from orders.models import Order
from orders.order_status import Status
from tests.cast import click, end_holds, queue_up, skus


def buy(sale: Sale, *quantities: int, sku: str = "") -> list[Order]:
    """Let a shopper for each of these quantities click, one after the other. Gives their orders."""
    purchases = [
        purchase
        for quantity in quantities
        for purchase in queue_up(sale, 1, quantity=quantity, sku=sku)
    ]
    settlement.settle(sale.pk)
    orders = Order.objects.in_bulk(purchases)
    return [orders[purchase] for purchase in purchases]


def statuses(orders: list[Order]) -> list[str]:
    now = Order.objects.in_bulk([order.pk for order in orders])
    return [now[order.pk].status for order in orders]


def faults(sale: Sale) -> dict[str, object]:
    return dict(reconciliation.verify(sale.pk).faults)


def test_without_standby_who_comes_too_late_is_refused(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    buy(sale, 1)
    assert click(sale).reason == "sold_out"


def test_who_comes_too_late_waits_behind_those_who_came_before(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10, standby=True)
    first, *waiting = buy(sale, 1, 1, 1)
    waiting += buy(sale, 1)
    assert statuses([first, *waiting]) == ["held", "waiting", "waiting", "waiting"]
    places = [order.place or 0 for order in waiting]
    assert places == sorted(set(places))
    assert [standby.count_before(order) for order in [first, *waiting]] == [0, 0, 1, 2]
    with patch.object(standby, "MOST_COUNTED", 1):
        assert standby.count_before(waiting[2]) == 1
    assert faults(sale) == {}


def cancel(sale: Sale, order: Order) -> None:
    cancellation.cancel_order(order.pk, by="staff")


def give_back(sale: Sale, order: Order) -> None:
    cancellation.give_back(order.pk)


def expire(sale: Sale, order: Order) -> None:
    end_holds(sale)
    caretaker.expire_holds()


def restock(sale: Sale, order: Order) -> None:
    stock_changes.restock(order.variant_id or 0, 1, by="staff")


def correct_upwards(sale: Sale, order: Order) -> None:
    stock_changes.correct(order.variant_id or 0, 1, by="staff", reason="found")


@pytest.mark.parametrize("bring_back", [cancel, give_back, expire, restock, correct_upwards])
def test_a_unit_that_comes_back_goes_to_the_first_who_waits(
    make_sale: MakeSale, bring_back: Callable[[Sale, Order], None]
) -> None:
    sale = make_sale(stock=1, hold=10, standby=True)
    first, second, third = buy(sale, 1, 1, 1)
    bring_back(sale, first)
    [late] = buy(sale, 1)
    caretaker.serve_standby()
    caretaker.serve_standby()
    assert statuses([second, third, late]) == ["held", "waiting", "waiting"]
    second.refresh_from_db()
    assert second.hold_until
    answer, _ = replica.read_answer(sale.pk, second.pk.hex)
    assert answer
    assert (answer.status, answer.place) == ("held", 0)
    assert sale.variants.get().stock == 0
    sale.refresh_from_db()
    assert sale.waiting == {skus(sale)[0]: 2}
    assert faults(sale) == {}


def test_units_go_to_the_first_that_fit(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, limit=3, standby=True)
    _, *waiting = buy(sale, 1, 3, 2, 1, 2)
    stock_changes.restock(sale.variants.get().pk, 2, by="staff")
    caretaker.serve_standby()
    assert statuses(waiting) == ["waiting", "confirmed", "waiting", "waiting"]
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    caretaker.serve_standby()
    assert statuses(waiting) == ["waiting", "confirmed", "confirmed", "waiting"]
    assert faults(sale) == {}


def test_each_variant_has_a_queue_of_its_own(make_sale: MakeSale) -> None:
    sale = make_sale({"shoe": 1, "bag": 1}, standby=True)
    shoe, bag = skus(sale)
    _, shoes = buy(sale, 1, 1, sku=shoe)
    _, bags = buy(sale, 1, 1, sku=bag)
    assert standby.count_before(bags) == 0
    stock_changes.restock(bags.variant_id or 0, 1, by="staff")
    caretaker.serve_standby()
    assert statuses([shoes, bags]) == ["waiting", "confirmed"]


def test_many_units_are_given_in_batches(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, standby=True)
    _, *waiting = buy(sale, *[1] * 8)
    stock_changes.restock(sale.variants.get().pk, 6, by="staff")
    sale.refresh_from_db()
    before = sale.version
    with patch.object(standby, "BATCH", 4):
        assert standby.serve(sale.pk) == 6
    assert statuses(waiting) == ["confirmed"] * 6 + ["waiting"]
    sale.refresh_from_db()
    assert sale.version == before + 2
    ledger = sale.variants.get().movements.filter(reason="sold", sale_version__gt=before)
    assert sorted(ledger.values_list("delta", flat=True)) == [-4, -2]
    assert faults(sale) == {}


def test_units_that_fit_nobody_cost_no_lock(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, limit=2, standby=True)
    _ = buy(sale, 1, 2)
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    with patch.object(standby, "_serve_batch") as batch:
        caretaker.serve_standby()
    batch.assert_not_called()


def test_a_paused_sale_gives_nothing_until_it_goes_on(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, standby=True)
    _, waiting = buy(sale, 1, 1)
    sale_lifecycle.pause(sale.pk, by="staff")
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    caretaker.serve_standby()
    assert statuses([waiting]) == ["waiting"]
    sale_lifecycle.resume(sale.pk, by="staff")
    caretaker.serve_standby()
    assert statuses([waiting]) == ["confirmed"]


def test_who_waits_takes_it_back_and_the_next_one_moves_up(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10, standby=True)
    _, second, third = buy(sale, 1, 1, 1)
    assert replica.read_bought_by(sale.pk, second.shopper.hex) == 1
    assert cancellation.give_back(second.pk)
    assert replica.read_bought_by(sale.pk, second.shopper.hex) == 0
    assert standby.count_before(third) == 0
    assert cancellation.find_given_back([second.pk, third.pk]) == {second.pk}
    assert faults(sale) == {}


def test_units_waiting_count_for_the_limit(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, limit=2, standby=True)
    _, waiting = buy(sale, 1, 2)
    assert click(sale, shopper=waiting.shopper).reason == "limit"


def test_a_late_payment_gets_no_unit_for_which_others_wait(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10, standby=True)
    first, second = buy(sale, 1, 1)
    expire(sale, first)
    assert sale.variants.get().stock == 1
    assert not holds.revive(first.pk)
    caretaker.serve_standby()
    assert statuses([first, second]) == ["expired", "held"]


def test_when_the_sale_ends_the_rest_is_rejected_after_what_came_back_is_given(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=1, standby=True)
    _, *waiting = buy(sale, *[1] * 6)
    [late] = queue_up(sale, 1)
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    sale_lifecycle.end(sale.pk, by="staff")
    assert not finishing.finish_sale(sale.pk)
    settlement.settle(sale.pk)
    with patch.object(standby, "BATCH", 2):
        caretaker.serve_standby()
    assert statuses(waiting) == ["confirmed"] + ["rejected"] * 4
    assert Order.objects.get(pk=late).status == Status.REJECTED
    rejected = sale.orders.filter(status=Status.REJECTED)
    assert set(rejected.values_list("reason", flat=True)) == {"sold_out"}
    assert faults(sale) == {}
    assert finishing.finish_sale(sale.pk)


def test_a_unit_that_comes_back_while_the_rest_is_rejected_goes_to_the_first(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=1, hold=10, standby=True)
    first, *waiting = buy(sale, *[1] * 5)
    sale_lifecycle.end(sale.pk, by="staff")
    with patch.object(standby, "BATCH", 2):
        assert standby._serve_batch(sale.pk) == 2
        expire(sale, first)
        caretaker.serve_standby()
    assert statuses(waiting) == ["held", "rejected", "rejected", "rejected"]
    assert faults(sale) == {}


def test_verify_finds_who_was_passed_over(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, standby=True)
    _, *waiting = buy(sale, *[1] * 4)
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")
    last_first = standby._FIRST_THAT_FIT.replace("ORDER BY place", "ORDER BY place DESC")
    with patch.object(standby, "_FIRST_THAT_FIT", last_first):
        caretaker.serve_standby()
    assert statuses(waiting) == ["waiting", "waiting", "confirmed"]
    assert "passed_over" in faults(sale)
