"""A worker may be killed between any commit and any call to the provider: the next one goes on, with the
same keys, and the books of both companies agree in the end."""

import pytest

from conftest import MakeSale
from orders.models import Order
from payments import paying
from payments.models import Attempt, Refund
from payments.tests.cast import (
    assert_money_balances,
    attempt_of,
    begin,
    cancel,
    expire,
    held,
    make_all_due,
    money_reserved,
    paid_sale,
    play,
)
from tests import stack
from tests.faults import crashing
from tests.faults.crashing import POINTS


def orders_under_way(make_sale: MakeSale) -> list[Order]:
    """One that is paid just now, one paid too late, one cancelled after it was paid, one before."""
    sale = paid_sale(make_sale, stock=4)
    paid, late, refunded, closed = orders = held(sale, 4)
    for order in orders:
        begin(order)
    for order in (paid, late, refunded):
        play(attempt_of(order), "pay")
    expire([late])
    paying.returned(refunded.pk)
    cancel(refunded)
    cancel(closed)
    make_all_due()
    return orders


def have_ended(orders: list[Order]) -> bool:
    attempts = Attempt.objects.filter(order__in=orders)
    under_way = attempts.exclude(state__in=["captured", "voided", "refunded"])
    return not under_way.exists()


# Two are tried with every change; `./check deep` tries all.
USUAL = ("a_capture_is_made", "a_refund_is_made")


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=() if point in USUAL else pytest.mark.deep)
        for point in crashing.of(crashing.PAYING)
    ],
)
def test_a_worker_may_die_while_it_takes_money(make_sale: MakeSale, point: str) -> None:
    orders = orders_under_way(make_sale)
    with crashing.worker(POINTS[point]) as doomed:
        assert crashing.killed(doomed)
    with crashing.worker():
        stack.wait_for(lambda: have_ended(orders), "every payment has its end")
    for order in orders:
        assert_money_balances(order)
        assert money_reserved(order) == 0
    states = [Attempt.objects.get(order=order).state for order in orders]
    assert states == ["captured", "captured", "refunded", "voided"]
    assert Refund.objects.filter(attempt__order__in=orders).count() == 1
