"""A hold is confirmed, given back or expires, never two of these, whoever comes at the same time."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from django.db import IntegrityError, OperationalError, connection

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, caretaker, confirmation, holds, reconciliation, settlement
from orders.changes import NotPossible
from orders.models import Order
from orders.order_status import Status
from tests.cast import at_once, end_holds, owned_units, queue_up
from tests.row_locks import without_row_locks

Job = Callable[[], object]


def ended_holds(make_sale: MakeSale, orders: int) -> tuple[Sale, list[Order]]:
    """A sale whose holds have all ended, and have not expired yet."""
    sale = make_sale(stock=orders, hold=10)
    queue_up(sale, orders)
    settlement.settle(sale.pk)
    end_holds(sale)
    return sale, list(sale.orders.all())


def expire(sale: Sale, order: Order) -> Job:
    return partial(holds.expire, sale.pk, [order.variant_id or 0])


def confirm(sale: Sale, order: Order) -> Job:
    return partial(confirmation.confirm_hold, order.pk)


def give_back(sale: Sale, order: Order) -> Job:
    return partial(cancellation.give_back, order.pk)


def faults(sale: Sale) -> dict[str, Any]:
    """Of the books in PostgreSQL."""
    report = reconciliation.Report()
    reconciliation.check_rules(sale.pk, report)
    return report.faults


def test_30_holds_end_in_all_ways_at_once(make_sale: MakeSale) -> None:
    sale, orders = ended_holds(make_sale, 30)
    with patch.object(holds, "BATCH", 3):
        results = at_once(
            *[confirm(sale, order) for order in orders[:20]],
            *[give_back(sale, order) for order in orders[10:]],
            *[expire(sale, orders[0])] * 4,
        )
    odd = [each for each in results if isinstance(each, Exception)]
    assert not [each for each in odd if not isinstance(each, NotPossible)]
    caretaker.expire_holds()
    ends = Counter(sale.orders.values_list("status", flat=True))
    assert ends["held"] == 0
    assert ends.keys() <= {"confirmed", "cancelled", "expired"}
    assert sale.variants.get().stock == 30 - ends["confirmed"]
    assert owned_units(sale) == ends["confirmed"]
    sale.refresh_from_db()
    assert (sale.held, sale.confirmed) == (0, ends["confirmed"])
    assert reconciliation.verify(sale.pk).faults == {}


# What is on its way, where it stops after it has read the order, and what comes meanwhile.
MEANWHILE = {
    "confirmed, and it expires": (confirm, confirmation, expire),
    "confirmed, and given back": (confirm, confirmation, give_back),
    "given back, and it expires": (give_back, cancellation, expire),
    "given back, and confirmed": (give_back, cancellation, confirm),
}
each_pair = pytest.mark.parametrize(("first", "where", "second"), MEANWHILE.values(), ids=MEANWHILE)


def meet(first: Job, where: Any, second: Job) -> tuple[object, object]:
    """Run `second` when `first` has read the order and not yet changed it. What both come to."""
    results: list[object] = []
    take_arrow = where.take_arrow

    def stop_before(*args: Any) -> None:
        results.extend(at_once(second))
        take_arrow(*args)

    with patch.object(where, "take_arrow", stop_before):
        [result] = at_once(first)
    return result, results[0]


@each_pair
def test_who_comes_meanwhile_waits(
    make_sale: MakeSale, first: Any, where: Any, second: Any
) -> None:
    sale, [order] = ended_holds(make_sale, 1)
    result, other = meet(first(sale, order), where, second(sale, order))
    assert result is True
    assert isinstance(other, OperationalError)  # it has waited as long as it may
    order.refresh_from_db()
    assert order.status == (Status.CONFIRMED if first is confirm else Status.CANCELLED)
    assert sale.variants.get().stock == 1 - order.owned
    assert reconciliation.verify(sale.pk).faults == {}


@contextmanager
def without_the_trigger() -> Iterator[None]:
    triggers = {"orders_order": "order_final", "inventory_sale": "sale_goes_forward"}
    with connection.cursor() as cursor:
        for table, trigger in triggers.items():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        try:
            yield
        finally:
            for table, trigger in triggers.items():
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


@each_pair
def test_without_the_locks_the_trigger_refuses_the_later_one(
    make_sale: MakeSale, first: Any, where: Any, second: Any
) -> None:
    sale, [order] = ended_holds(make_sale, 1)
    with without_row_locks():
        result, other = meet(first(sale, order), where, second(sale, order))
    assert isinstance(result, IntegrityError)
    assert not isinstance(other, Exception)
    assert faults(sale) == {}


@pytest.mark.parametrize("second", [expire, give_back])
def test_its_twin_without_locks_and_trigger_confirms_what_is_on_sale_again(
    make_sale: MakeSale, second: Any
) -> None:
    sale, [order] = ended_holds(make_sale, 1)
    with without_row_locks(), without_the_trigger():
        result, other = meet(confirm(sale, order), confirmation, second(sale, order))
    assert (result, bool(other)) == (True, True)
    order.refresh_from_db()
    assert (order.owned, sale.variants.get().stock) == (1, 1)
    assert faults(sale)


def test_its_twin_without_locks_and_trigger_gives_back_what_is_confirmed(
    make_sale: MakeSale,
) -> None:
    sale, [order] = ended_holds(make_sale, 1)
    with without_row_locks(), without_the_trigger():
        both = meet(give_back(sale, order), cancellation, confirm(sale, order))
    assert both == (True, True)


def test_its_twin_without_locks_and_trigger_is_stopped_by_the_ledger(make_sale: MakeSale) -> None:
    """Units that come back twice do not continue the ledger."""
    sale, [order] = ended_holds(make_sale, 1)
    with without_row_locks(), without_the_trigger():
        result, other = meet(give_back(sale, order), cancellation, expire(sale, order))
    assert "does not continue" in str(result)
    assert other == 1


# --- Expiry looks again under the lock ---------------------------------------------------------------


def test_a_hold_that_was_due_at_the_look_and_is_confirmed_since_does_not_expire(
    make_sale: MakeSale,
) -> None:
    sale, [order] = ended_holds(make_sale, 1)
    [(found, variants)] = [each for each in holds.find_due().items() if each[0] == sale.pk]
    confirmation.confirm_hold(order.pk)
    assert holds.expire(found, variants) == 0
    assert sale.variants.get().stock == 0


@pytest.mark.parametrize(
    "guard",
    ["AND status = 'held'", "AND hold_until <= now() - %(grace)s * interval '1 second'"],
)
def test_its_twin_that_does_not_look_again_returns_units_that_are_owned(
    make_sale: MakeSale, guard: str
) -> None:
    sale = make_sale(stock={"shoe": 1, "bag": 1}, hold=10)
    for sku in sale.variants.values_list("sku", flat=True):
        queue_up(sale, 1, sku=sku)
    settlement.settle(sale.pk)
    order = sale.orders.get(sku__startswith="shoe")
    if "status" in guard:
        end_holds(sale)
        confirmation.confirm_hold(order.pk)
    assert holds.expire(sale.pk, [order.variant_id or 0]) == 0
    assert holds._EXPIRE.count(guard) == 2
    with without_the_trigger(), patch.object(holds, "_EXPIRE", holds._EXPIRE.replace(guard, "")):
        assert holds.expire(sale.pk, [order.variant_id or 0]) == 1
    assert sale.variants.get(pk=order.variant_id).stock == 1
