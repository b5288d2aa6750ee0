"""A draw and standby give each unit once and leave nobody out, whoever comes at the same time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest.mock import patch

from django.db import OperationalError, connection

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.gate import replica
from inventory.gate.entries import Entry
from inventory.models import Sale
from orders import (
    cancellation,
    caretaker,
    changes,
    outcomes,
    reconciliation,
    settlement,
    standby,
    stock_changes,
)
from orders.draws import allotting, freezing, steps
from orders.models import Draw, Lot, Order
from orders.order_status import Status
from orders.tickets import new_purchase
from tests.cast import at_once, bring_draw_forward, owned_units, queue_up
from tests.row_locks import without_row_locks

Job = Callable[[], object]


def entered(make_sale: MakeSale, entries: int, units: int = 3, **rules: Any) -> Sale:
    """A sale whose draw is due, with so many entries."""
    sale = make_sale(stock=units, draw_in=60, **rules)
    queue_up(sale, entries)
    settlement.settle(sale.pk)
    bring_draw_forward(sale)
    return sale


def waited_for(make_sale: MakeSale, waiting: int) -> Sale:
    """A sale without units, in which so many wait on standby, and as many units have come back."""
    sale = make_sale(stock=1, standby=True)
    queue_up(sale, waiting + 1)
    settlement.settle(sale.pk)
    stock_changes.restock(sale.variants.get().pk, waiting, by="staff")
    return sale


def faults(sale: Sale) -> dict[str, Any]:
    """Of the books in PostgreSQL."""
    report = reconciliation.Report()
    reconciliation.check_rules(sale.pk, report)
    return report.faults


def meet(first: Job, where: Any, name: str, second: Job) -> tuple[object, object]:
    """Run `second` when `first` is about to call the function, for the first time. What both come to."""
    results: list[object] = []
    real = getattr(where, name)

    def stop_before(*args: Any, **options: Any) -> Any:
        if not results:
            results.append("it runs")
            results[:] = at_once(second)
        return real(*args, **options)

    with patch.object(where, name, stop_before):
        [result] = at_once(first)
    return result, results[0]


@contextmanager
def without_the_triggers() -> Iterator[None]:
    triggers = {
        "orders_order": "order_final",
        "inventory_sale": "sale_goes_forward",
        "orders_draw": "draw_once",
    }
    with connection.cursor() as cursor:
        for table, trigger in triggers.items():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        try:
            yield
        finally:
            for table, trigger in triggers.items():
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


def test_workers_and_a_restock_at_once_draw_once(make_sale: MakeSale) -> None:
    sale = entered(make_sale, 30, units=7, standby=True)
    variant = sale.variants.get()
    with patch.object(allotting, "BATCH", 4):
        at_once(
            *[caretaker.advance_draws] * 4,
            *[partial(stock_changes.restock, variant.pk, 1, by="staff")] * 3,
        )
        caretaker.advance_draws()
    sale.refresh_from_db()
    assert sale.draw == Sale.Draw.DONE
    drawn = Draw.objects.get(pk=sale.pk)
    assert (drawn.entries, drawn.allotted) == (30, 30)
    assert owned_units(sale) == 30 - sale.waiting[variant.sku]
    at_once(*[caretaker.serve_standby] * 3)
    assert owned_units(sale) == 10
    assert reconciliation.verify(sale.pk).faults == {}


# --- Two batches ----------------------------------------------------------------------------------


def frozen(make_sale: MakeSale) -> Sale:
    """A sale whose lots have their ranks, with units for each of them twice."""
    sale = entered(make_sale, 5, units=10)
    with patch.object(allotting, "allot", return_value=False):
        caretaker.advance_draws()
    return sale


def test_a_batch_waits_for_the_one_before(make_sale: MakeSale) -> None:
    sale = frozen(make_sale)
    allot = partial(allotting.allot, sale.pk)
    first, second = meet(allot, outcomes, "write", allot)
    assert first is True
    assert isinstance(second, OperationalError)  # it has waited as long as it may
    assert owned_units(sale) == 5
    assert faults(sale) == {}


def test_its_twin_without_locks_finds_that_its_orders_wait_no_longer(make_sale: MakeSale) -> None:
    sale = frozen(make_sale)
    allot = partial(allotting.allot, sale.pk)
    with without_row_locks():
        first, second = meet(allot, outcomes, "write", allot)
    assert isinstance(first, RuntimeError)
    assert second is True
    assert faults(sale) == {}


def test_its_twin_that_does_not_look_gives_units_twice(make_sale: MakeSale) -> None:
    sale = frozen(make_sale)
    allot = partial(allotting.allot, sale.pk)
    again = outcomes._WRITE.replace("AND o.status = 'waiting'", "")
    with without_row_locks(), without_the_triggers(), patch.object(outcomes, "_WRITE", again):
        meet(allot, outcomes, "write", allot)
    assert faults(sale)


# --- Who takes an entry back ----------------------------------------------------------------------


def draw_begins(sale: Sale) -> bool:
    """Close and freeze the draw."""
    return steps.advance(sale.pk) and steps.advance(sale.pk)


def just_before_the_draw() -> AbstractContextManager[object]:
    """Who takes back looked at the clock before it."""
    return patch.object(changes, "read_clock", return_value=datetime(2000, 1, 1, tzinfo=UTC))


def test_an_entry_that_is_taken_back_is_no_lot(make_sale: MakeSale) -> None:
    sale = entered(make_sale, 2)
    entry = sale.orders.all()[0]
    take_back = partial(cancellation.give_back, entry.pk)
    with just_before_the_draw():
        first, second = meet(take_back, cancellation, "take_arrow", partial(draw_begins, sale))
    assert first is True
    assert isinstance(second, OperationalError)
    assert draw_begins(sale)
    assert Lot.objects.filter(sale=sale).count() == 1
    assert faults(sale) == {}


def test_its_twin_without_locks_draws_a_lot_whose_entry_is_gone(make_sale: MakeSale) -> None:
    sale = entered(make_sale, 2)
    entry = sale.orders.all()[0]
    take_back = partial(cancellation.give_back, entry.pk)
    with without_row_locks(), without_the_triggers(), just_before_the_draw():
        _, second = meet(take_back, cancellation, "take_arrow", partial(draw_begins, sale))
    assert second is True
    entry.refresh_from_db()
    assert entry.status == Status.CANCELLED
    assert Lot.objects.filter(order=entry, set_aside=False).exists()


def test_an_entry_that_comes_during_the_freeze_stops_it(make_sale: MakeSale) -> None:
    """No gate accepts it any more; a copy of Redis may have had it."""
    sale = entered(make_sale, 2)
    assert steps.advance(sale.pk)
    freeze = partial(steps.advance, sale.pk)
    first, _ = meet(freeze, freezing, "_publish", partial(enter_late, sale))
    assert first is False
    assert Draw.objects.get(pk=sale.pk).root == ""
    caretaker.heal_all()
    assert steps.advance(sale.pk)
    assert Draw.objects.get(pk=sale.pk).entries == 3


def test_its_twin_that_does_not_look_again_leaves_it_out(make_sale: MakeSale) -> None:
    sale = entered(make_sale, 2)
    assert steps.advance(sale.pk)
    publish = freezing._publish

    def whatever_came(number: int, epoch: str, made: freezing.Frozen) -> bool:
        waiting = sum(Sale.objects.get(pk=number).waiting.values())
        return publish(number, epoch, made._replace(drawn=waiting))

    with patch.object(freezing, "_publish", whatever_came):
        meet(partial(steps.advance, sale.pk), freezing, "_publish", partial(enter_late, sale))
    assert Draw.objects.get(pk=sale.pk).entries == 2
    assert sale.orders.filter(status=Status.WAITING).count() == 3


def enter_late(sale: Sale) -> None:
    """Let settlement decide an entry that no gate has accepted."""
    sku = sale.variants.get().sku
    now = datetime.now(UTC)
    entry = Entry("0-1", new_purchase(sale.pk), new_shopper(), sku, 1, now)
    assert settlement.decide(sale.pk, replica.read_view(sale.pk).epoch, [entry])


# --- Standby --------------------------------------------------------------------------------------


def test_a_unit_that_came_back_is_given_once(make_sale: MakeSale) -> None:
    sale = waited_for(make_sale, 1)
    serve = partial(standby.serve, sale.pk)
    first, second = meet(serve, outcomes, "write", serve)
    assert first == 1
    assert isinstance(second, OperationalError)
    assert owned_units(sale) == 2
    assert faults(sale) == {}


def test_its_twin_without_locks_finds_that_the_first_waits_no_longer(make_sale: MakeSale) -> None:
    sale = waited_for(make_sale, 1)
    stock_changes.restock(sale.variants.get().pk, 1, by="staff")  # for whom it would be given twice
    serve = partial(standby.serve, sale.pk)
    with without_row_locks():
        first, second = meet(serve, outcomes, "write", serve)
    assert isinstance(first, RuntimeError)
    assert second == 1
    assert faults(sale) == {}


def test_who_is_given_a_unit_cannot_take_the_place_back_meanwhile(make_sale: MakeSale) -> None:
    sale = waited_for(make_sale, 1)
    next_one = sale.orders.get(status=Status.WAITING)
    take_back = partial(cancellation.give_back, next_one.pk)
    first, second = meet(partial(standby.serve, sale.pk), outcomes, "write", take_back)
    assert first == 1
    assert isinstance(second, OperationalError)
    assert Order.objects.get(pk=next_one.pk).status == Status.CONFIRMED
    assert faults(sale) == {}


def test_its_twin_without_locks_gives_to_nobody(make_sale: MakeSale) -> None:
    sale = waited_for(make_sale, 1)
    next_one = sale.orders.get(status=Status.WAITING)
    take_back = partial(cancellation.give_back, next_one.pk)
    with without_row_locks():
        first, second = meet(partial(standby.serve, sale.pk), outcomes, "write", take_back)
    assert isinstance(first, RuntimeError)
    assert second is True
