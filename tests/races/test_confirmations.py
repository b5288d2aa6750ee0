"""Held orders that are confirmed at the same time share a transaction, and nothing else."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError, connection

from conftest import MakeSale
from inventory.models import Sale
from orders import confirmation, holds, reconciliation, settlement
from orders.changes import NotPossible, NotReplicated
from orders.models import Order
from orders.order_status import Status
from tests.cast import queue_up
from tests.stack import DEADLINE, wait_for

OTHERS = 5  # fewer than there are connections

Asked = tuple[Order, Callable[[Order], None] | None]


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    sale = make_sale(stock=OTHERS + 1, hold=10)
    queue_up(sale, OTHERS + 1)
    settlement.settle(sale.pk)
    return sale


def confirm_together(asked: list[Asked]) -> list[object]:
    """Confirm all of them, so that those after the first one make a group. What each returned or
    raised."""
    began, may_end = threading.Event(), threading.Event()
    confirm = confirmation._confirm

    def confirm_later(*args: Any) -> Any:
        if not began.is_set():
            began.set()
            assert may_end.wait(DEADLINE)
        return confirm(*args)

    def run(order: Order, within: Callable[[Order], None] | None) -> object:
        try:
            return confirmation.confirm_hold(order.pk, within)
        except Exception as error:
            return error
        finally:
            connection.close()

    with (
        patch.object(confirmation, "_confirm", confirm_later),
        ThreadPoolExecutor(len(asked)) as threads,
    ):
        futures = [threads.submit(run, *asked[0])]
        assert began.wait(DEADLINE)
        futures += [threads.submit(run, *each) for each in asked[1:]]
        queue = confirmation._confirmations._queues[asked[0][0].sale_id]
        wait_for(lambda: len(queue.waiting) == len(asked) - 1, "all wait")
        may_end.set()
        return [future.result() for future in futures]


def statuses(sale: Sale) -> list[str]:
    return sorted(sale.orders.values_list("status", flat=True))


def test_those_that_wait_are_confirmed_in_one_version(sale: Sale) -> None:
    sale.refresh_from_db()
    before = sale.version
    assert confirm_together([(order, None) for order in sale.orders.all()]) == [True] * 6
    sale.refresh_from_db()
    assert sale.version == before + 2
    assert (sale.held, sale.confirmed) == (0, 6)
    assert reconciliation.verify(sale.pk).faults == {}


def test_one_that_is_refused_stops_no_other(sale: Sale) -> None:
    def refuse(order: Order) -> None:
        raise NotPossible("not this one")

    orders = list(sale.orders.all())
    asked: list[Asked] = [(order, None) for order in orders]
    asked[2] = (orders[2], refuse)
    asked.append((orders[3], None))
    results = confirm_together(asked)
    assert str(results.pop(2)) == "not this one"
    assert sorted(map(str, results)) == ["False", *["True"] * 5]
    assert statuses(sale) == [*["confirmed"] * 5, "held"]
    assert reconciliation.verify(sale.pk).faults == {}


def test_an_unforeseen_error_is_that_of_one(sale: Sale) -> None:
    """What it has written goes with it."""

    def write_and_break(order: Order) -> None:
        holds.begin_capture(order.pk)
        raise ZeroDivisionError

    orders = list(sale.orders.all())
    asked: list[Asked] = [(order, None) for order in orders]
    asked[2] = (orders[2], write_and_break)
    results = confirm_together(asked)
    assert isinstance(results.pop(2), ZeroDivisionError)
    assert results == [True] * 5
    orders[2].refresh_from_db()
    assert (orders[2].status, orders[2].capturing) == (Status.HELD, False)


def test_if_postgresql_is_away_all_hear_it_at_once(sale: Sale) -> None:
    def lose(order: Order) -> None:
        raise OperationalError("away")

    orders = list(sale.orders.all())
    asked: list[Asked] = [(order, None) for order in orders]
    asked[2] = (orders[2], lose)
    results = confirm_together(asked)
    assert results[0] is True
    assert [type(result) for result in results[1:]] == [OperationalError] * OTHERS
    assert statuses(sale) == ["confirmed", *["held"] * OTHERS]


def test_if_postgresql_goes_away_after_an_unforeseen_error_nobody_waits_for_it_again(
    sale: Sale,
) -> None:
    asked_alone = 0

    def break_or_lose(order: Order) -> None:
        nonlocal asked_alone
        asked_alone += 1
        raise (OperationalError("away") if asked_alone > 1 else ZeroDivisionError)

    asked: list[Asked] = [(order, break_or_lose) for order in sale.orders.all()]
    asked[0] = (asked[0][0], None)
    results = confirm_together(asked)
    assert [type(result) for result in results[1:]] == [OperationalError] * OTHERS
    assert asked_alone == 2
    assert statuses(sale) == ["confirmed", *["held"] * OTHERS]


def test_a_gate_that_is_away_is_heard_by_those_who_were_confirmed(sale: Sale) -> None:
    orders = list(sale.orders.all())
    confirmation.confirm_hold(orders[1].pk)
    with patch.object(confirmation, "replicate_change", side_effect=NotReplicated("away")):
        results = confirm_together([(order, None) for order in orders])
    assert results.pop(1) is False
    assert [type(result) for result in results] == [NotReplicated] * OTHERS
    assert statuses(sale) == ["confirmed"] * (OTHERS + 1)
