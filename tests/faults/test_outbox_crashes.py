"""Wherever a process dies that changes an order: it is told of if it has happened, and only then."""

import os
from collections.abc import Callable
from uuid import UUID

import pytest

from conftest import MakeSale
from orders import confirmation, settlement
from orders.models import Order, OutboxRow
from tests.cast import queue_up
from tests.faults import crashing
from tests.faults.crashing import AFTER, BEFORE, Point


def confirm(order: UUID) -> None:
    confirmation.confirm_hold(order)


def cancel(order: UUID) -> None:
    from orders import cancellation

    cancellation.cancel_order(order, by="staff")


POINTS = {
    "before_it_is_told": Point("", "orders.outbox.tell", BEFORE, 1),
    "it_is_told": Point("", "orders.outbox.tell", AFTER, 1),
    "before_commit": Point("", "orders.changes.count_orders", AFTER, 2),
    "it_is_committed": Point("", "orders.replication.replicate", BEFORE, 1),
}


@pytest.mark.parametrize("change", [confirm, cancel], ids=lambda change: change.__name__)
@pytest.mark.parametrize("point", POINTS)
def test_what_has_happened_is_told_of_and_nothing_else(
    make_sale: MakeSale, change: Callable[[UUID], None], point: str
) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    process = crashing._fork.Process(target=change_and_die, args=(change, order, POINTS[point]))
    process.start()
    assert crashing.killed(process)
    happened = Order.objects.get(pk=order).status != Order.Status.HELD
    assert happened == (point == "it_is_committed")
    assert OutboxRow.objects.filter(order=order, consumer="mail").exists() == happened


def change_and_die(change: Callable[[UUID], None], order: UUID, point: Point) -> None:
    """In a new process, which has no connection of ours."""
    from flashsale import asgi  # noqa: F401  # sets Django up

    with crashing.dying_at(point):
        change(order)
    os._exit(0)
