"""Settlement, a restock and cancellations of one variant at once: the books balance."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import QuerySet

from conftest import MakeSale
from flashsale.database import ask_together
from inventory import stock
from inventory.gate import replica
from inventory.gate.delta import Delta
from inventory.gate.entries import Entry, parse_line
from inventory.models import Sale, Variant
from orders import (
    allotment,
    cancellation,
    finishing,
    reconciliation,
    replication,
    sale_lifecycle,
    settlement,
    settlement_statements,
    stock_changes,
)
from orders.allotment import Decision
from orders.changes import take_arrow
from orders.models import Order
from tests import deadlines
from tests.cast import at_once, owned_units, promise_too_much, queue_up, rename
from tests.row_locks import without_row_locks


def sold_some(make_sale: MakeSale) -> tuple[Sale, list[Order]]:
    """A sale with 5 orders, 5 units left, a gate that promises 100, and 40 shoppers in the line."""
    sale = make_sale(stock=10)
    queue_up(sale, 5)
    settlement.settle(sale.pk)
    promise_too_much(sale, 100)
    assert len(queue_up(sale, 40)) == 40
    sale.refresh_from_db()
    return sale, list(sale.orders.all())


def test_the_books_balance_when_everything_happens_at_once(make_sale: MakeSale) -> None:
    sale, orders = sold_some(make_sale)
    variant = sale.variants.get()
    results = at_once(
        *[partial(settlement.settle, sale.pk)] * 2,
        *[partial(stock_changes.restock, variant.pk, 3, by="staff")] * 3,
        *[partial(cancellation.cancel_order, order.pk, by="staff") for order in orders[:2] * 2],
    )
    settlement.settle(sale.pk)
    assert not [result for result in results if isinstance(result, Exception)]
    variant.refresh_from_db()
    assert variant.stock + owned_units(sale) == 10 + 9
    assert sale.orders.count() == 45
    assert results[-4:].count(True) == 2  # cancelled twice, returned once
    assert reconciliation.verify(sale.pk).faults == {}


def test_its_twin_without_row_locks_breaks_the_books(make_sale: MakeSale) -> None:
    """Both have read before either writes, which is what the locks prevent."""
    sale, _ = sold_some(make_sale)
    variant = sale.variants.get()
    both_have_read = threading.Barrier(2)

    def read_unlocked(*_: object) -> list[Variant]:
        found = list(Variant.objects.filter(pk=variant.pk))
        both_have_read.wait(deadlines.seconds(10))
        return found

    forget_statements()
    with (
        without_row_locks(),
        patch.object(stock, "lock", read_unlocked),
        patch.object(stock, "read_locked", read_unlocked),
    ):
        results = at_once(
            partial(settlement.decide, sale.pk, sale.epoch, _line(sale)),
            partial(stock_changes.restock, variant.pk, 3, by="staff"),
        )
    forget_statements()
    assert both_have_read.n_waiting == 0
    assert not both_have_read.broken
    stopped = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(result, DatabaseError) for result in stopped), stopped  # or a deadlock
    assert len(stopped) < 2  # one of them did commit
    before = sale.version
    sale.refresh_from_db()
    # Two changes, one version: the gate would never hear of one of them. Or the ledger stops it.
    assert stopped or sale.version == before + 1


def forget_statements() -> None:
    settlement_statements.locking_sale.cache_clear()
    stock._locking_listed.cache_clear()


def test_two_cancellations_at_once_return_the_units_once(make_sale: MakeSale) -> None:
    sale, [order, *_] = sold_some(make_sale)
    results = at_once(*[partial(cancellation.cancel_order, order.pk, by="staff")] * 4)
    assert sorted(map(str, results)) == ["False", "False", "False", "True"]
    assert reconciliation.verify(sale.pk).faults == {}


def test_their_twin_without_row_locks_is_only_stopped_by_a_constraint(make_sale: MakeSale) -> None:
    _, [order, *_] = sold_some(make_sale)
    both_have_read = threading.Barrier(2)

    def take_together(*args: Any) -> None:
        both_have_read.wait(deadlines.seconds(10))
        take_arrow(*args)

    with (
        without_row_locks(),
        patch.object(cancellation, "take_arrow", take_together),
    ):
        results = at_once(*[partial(cancellation.cancel_order, order.pk, by="staff")] * 2)
    assert [result for result in results if isinstance(result, IntegrityError)]


@pytest.mark.parametrize("round_", range(3))
def test_two_settlements_decide_each_purchase_once(make_sale: MakeSale, round_: int) -> None:
    sale = make_sale(stock=30)
    promise_too_much(sale, 100)
    purchases = queue_up(sale, 60)
    at_once(*[partial(settlement.settle, sale.pk)] * 4)
    settlement.settle(sale.pk)
    assert set(sale.orders.values_list("pk", flat=True)) == set(purchases)
    assert sale.orders.filter(status="confirmed").count() == 30
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_worker_does_not_wait_for_a_sale_that_another_one_settles(make_sale: MakeSale) -> None:
    assert second_of_two(make_sale()) is None


def test_its_twin_without_the_advisory_lock_waits_for_the_sale(make_sale: MakeSale) -> None:
    def always_alone(*statements: Any) -> list[Any]:
        found = ask_together(*statements)
        asked = any("pg_try_advisory" in str(statement) for statement, _ in statements)
        return [found[0], [(True,)]] if asked else found

    with patch.object(settlement, "ask_together", always_alone):
        waited = second_of_two(make_sale())
    assert isinstance(waited, DatabaseError)  # until the lock's time was up


def settled(sale: Sale) -> None:
    queue_up(sale, 1)
    settlement.settle(sale.pk)


def finished(sale: Sale) -> None:
    sale_lifecycle.end(sale.pk, by="staff")
    finishing.finish_sale(sale.pk)


# Who holds the locks of a sale, and a step that is taken under them.
HOLDERS: dict[str, tuple[Callable[[Sale], object], object, str]] = {
    "staff pause it": (
        lambda sale: sale_lifecycle.pause(sale.pk, by="staff"),
        sale_lifecycle,
        "_set_status",
    ),
    "units come in": (
        lambda sale: stock_changes.restock(sale.variants.get().pk, 3, by="staff"),
        *(stock, "move"),
    ),
    "its line is settled": (settled, settlement, "_write"),
    "its gate is rebuilt": (lambda sale: replication.rebuild(sale.pk), replica, "read_position"),
    "it is finished": (finished, replica, "purge_gate"),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_only_refers_to_a_sale_waits_for_nobody(make_sale: MakeSale, holder: str) -> None:
    assert set(references_meanwhile(make_sale(), holder)) == {None}


@pytest.mark.parametrize("holder", HOLDERS)
def test_its_twin_whose_locks_are_of_the_key_as_well_keeps_it_waiting(
    make_sale: MakeSale, holder: str
) -> None:
    lock = QuerySet.select_for_update
    forget_statements()
    with patch.object(
        QuerySet, "select_for_update", lambda rows, **how: lock(rows, **how | {"no_key": False})
    ):
        results = references_meanwhile(make_sale(), holder)
    forget_statements()
    assert [result for result in results if isinstance(result, DatabaseError)]


def references_meanwhile(sale: Sale, holder: str) -> list[object]:
    """What it comes to that something new refers to the sale and its variant at each such step."""
    change, where, name = HOLDERS[holder]
    step, results = getattr(where, name), list[object]()

    def step_meanwhile(*args: Any, **options: Any) -> object:
        results.extend(at_once(partial(refer_to, sale)))
        return step(*args, **options)

    with patch.object(where, name, step_meanwhile):
        change(sale)
    return results


# --- A change between the click and the commit -----------------------------------------------------


def sold_amid_a_change(sale: Sale) -> set[str]:
    """Twelve click; the variant changes after the first batches. Gives the names under which was sold."""
    queue_up(sale, 12)
    sold, write, batches = list[tuple[str, int]](), settlement._write, 0

    def write_and_note(locked: Sale, decisions: list[Decision]) -> None:
        for each in decisions:
            if each.owned and each.variant:
                sold.append((each.variant.name, each.entry.quantity))
        write(locked, decisions)

    lock = settlement._lock

    def change_before_the_third(*args: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches == 3:
            at_once(partial(rename, sale))
        return lock(*args)

    with (
        patch.object(settlement, "BATCH", 3),
        patch.object(settlement, "_write", write_and_note),
        patch.object(settlement, "_lock", change_before_the_third),
    ):
        settlement.settle(sale.pk)
    assert sale.orders.count() == 12
    return {name for name, _ in sold}


def test_nothing_is_sold_as_what_no_form_has_shown(make_sale: MakeSale) -> None:
    sale = make_sale(stock=12)
    assert sold_amid_a_change(sale) == {"Shoe"}
    assert sale.orders.filter(status="confirmed").count() == 6
    assert sale.orders.filter(status="rejected", reason="changed").count() == 6
    assert reconciliation.verify(sale.pk).faults == {}


def test_its_twin_that_does_not_compare_sells_something_else(make_sale: MakeSale) -> None:
    def ignore(entries: list[Entry], *args: Any) -> list[Decision]:
        return allotment.allot([replace(entry, shown="") for entry in entries], *args)

    with patch.object(settlement, "allot", ignore):
        assert sold_amid_a_change(make_sale(stock=12)) == {"Shoe", "Something else"}


def test_a_change_waits_for_the_batch_that_has_compared(make_sale: MakeSale) -> None:
    assert isinstance(change_of_a_compared_variant(make_sale()), DatabaseError)


def test_its_twin_without_row_locks_changes_what_is_being_sold(make_sale: MakeSale) -> None:
    forget_statements()
    with without_row_locks():
        assert change_of_a_compared_variant(make_sale()) is None
    forget_statements()


def change_of_a_compared_variant(sale: Sale) -> object:
    """What it comes to that the variant is changed between settlement's comparison and its commit."""
    queue_up(sale, 1)
    sale.refresh_from_db()
    results, write = list[object](), settlement._write

    def change_then_write(*args: Any) -> None:
        results.extend(at_once(partial(rename_impatiently, sale)))
        write(*args)

    with patch.object(settlement, "_write", change_then_write):
        settlement.decide(sale.pk, sale.epoch, _line(sale))
    [result] = results
    return result


def rename_impatiently(sale: Sale) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '50ms'")
        rename(sale)


def refer_to(sale: Sale) -> None:
    """Takes the lock that PostgreSQL takes of a row to which a new one refers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM inventory_sale AS s JOIN inventory_listing AS l ON l.sale_id = s.id"
            " JOIN inventory_product AS p ON p.id = l.product_id"
            " WHERE s.id = %s FOR KEY SHARE OF s, p NOWAIT",
            [sale.pk],
        )


def second_of_two(sale: Sale) -> object:
    """What one settlement comes to that begins while another one writes."""
    queue_up(sale, 2)
    sale.refresh_from_db()
    decide = partial(settlement.decide, sale.pk, sale.epoch, _line(sale))
    writing, over = threading.Event(), threading.Event()
    write = settlement._write

    def write_slowly(*args: Any) -> None:
        writing.set()
        over.wait(30)
        write(*args)

    def come_second() -> object:
        try:
            assert writing.wait(30)
            return decide()
        finally:
            over.set()

    with patch.object(settlement, "_write", write_slowly):
        first, second = at_once(decide, come_second)
    assert isinstance(first, Delta)
    assert sale.orders.count() == 2
    return second


def _line(sale: Sale) -> list[Entry]:
    _, _, raw = replica.read_line(sale.pk, 100)
    return parse_line(raw)[0]
