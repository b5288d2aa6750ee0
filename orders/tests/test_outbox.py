"""The outbox: what happened to an order is told in the transaction in which it happened, and taken once."""

import contextlib
from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from conftest import MakeSale
from inventory import stock
from inventory.models import Sale
from orders import (
    cancellation,
    caretaker,
    confirmation,
    outbox,
    outcomes,
    sale_lifecycle,
    settlement,
)
from orders.models import Order, OutboxRow
from orders.outbox import Consumer, Event, Outcome
from tests.cast import at_once, bring_draw_forward, end_holds, queue_up, run_caretaker

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def nothing_waits() -> None:
    """Rows that other tests have left are not due, and their holds have ended: the rows of this test are
    the only ones."""
    caretaker.expire_holds()
    OutboxRow.objects.filter(due__isnull=False).update(due=None)


def hold(sale: Sale, orders: int = 1) -> list[Order]:
    purchases = queue_up(sale, orders)
    settlement.settle(sale.pk)
    return list(Order.objects.filter(pk__in=purchases))


def told(order: Order) -> set[tuple[str, str]]:
    return set(OutboxRow.objects.filter(order=order).values_list("consumer", "event"))


def expire(order: UUID) -> None:
    end_holds(Order.objects.get(pk=order).sale)
    caretaker.expire_holds()


def cancel(order: UUID) -> None:
    cancellation.cancel_order(order, by="staff")


CHANGES: dict[Callable[[UUID], object], set[tuple[str, str]]] = {
    confirmation.confirm_hold: {("mail", "confirmed")},
    cancel: {("mail", "cancelled"), ("refund", "cancelled")},
    cancellation.give_back: {("mail", "cancelled"), ("refund", "cancelled")},
    expire: {("mail", "expired")},
}
each_change = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)


@each_change
def test_what_happened_is_told_once(make_sale: MakeSale, change: Callable[[UUID], object]) -> None:
    [order] = hold(make_sale(stock=1, hold=10))
    assert told(order) == set()
    change(order.pk)
    assert told(order) == CHANGES[change]
    change(order.pk)
    assert OutboxRow.objects.filter(order=order).count() == len(CHANGES[change])


@each_change
def test_it_is_told_in_the_transaction_in_which_it_happened(
    make_sale: MakeSale, change: Callable[[UUID], object]
) -> None:
    [order] = hold(make_sale(stock=1, hold=10))
    change(order.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.xmin = r.xmin FROM orders_order o JOIN orders_outboxrow r ON r.order_id = o.id"
            " WHERE o.id = %s",
            [order.pk],
        )
        assert set(cursor.fetchall()) == {(True,)}


@pytest.mark.parametrize("change", [cancel, expire], ids=lambda change: change.__name__)
def test_what_did_not_happen_is_not_told(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch, change: Callable[[UUID], object]
) -> None:
    [order] = hold(make_sale(stock=1, hold=10))

    def fail(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(stock, "move", fail)
        with contextlib.suppress(ZeroDivisionError):  # the caretaker logs it instead
            change(order.pk)
    order.refresh_from_db()
    assert order.status == Order.Status.HELD
    assert told(order) == set()


def draw(sale: Sale) -> None:
    bring_draw_forward(sale)
    caretaker.advance_draws()


def test_winners_are_told_of_in_the_transaction_in_which_they_win(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, hold=10, draw_in=60, standby=True)
    orders = hold(sale, 5)
    draw(sale)
    won = set(sale.orders.filter(status=Order.Status.HELD))
    assert len(won) == 2
    for order in orders:
        assert told(order) == ({("mail", "drawn")} if order in won else set())
    assert written_together(won)


def test_who_gets_what_came_back_is_told_of_in_the_same_transaction(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10, standby=True)
    hold(sale, 3)
    first = sale.orders.get(status=Order.Status.HELD)
    expire(first.pk)
    for _ in range(2):
        caretaker.serve_standby()
    [served] = sale.orders.filter(status=Order.Status.HELD)
    assert told(served) == {("mail", "served")}
    assert written_together([served])
    assert OutboxRow.objects.filter(order__sale=sale, event="served").count() == 1


def test_what_a_draw_did_not_write_is_not_told(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=1, hold=10, draw_in=60)
    [order] = hold(sale)

    def fail(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "count", fail)
        with contextlib.suppress(ZeroDivisionError):  # the caretaker logs it instead
            draw(sale)
    order.refresh_from_db()
    assert order.status == Order.Status.WAITING
    assert told(order) == set()
    caretaker.advance_draws()
    assert told(order) == {("mail", "drawn")}


def written_together(orders: Iterable[Order]) -> bool:
    """Whether each order and its news are of one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.xmin = r.xmin FROM orders_order o JOIN orders_outboxrow r ON r.order_id = o.id"
            " WHERE o.id = ANY(%s) AND r.event IN ('drawn', 'served')",
            [[order.pk for order in orders]],
        )
        return set(cursor.fetchall()) == {(True,)}


def test_an_order_of_a_sale_without_a_checkout_is_not_told_of(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    [order] = hold(sale)
    cancellation.cancel_order(order.pk, by="staff")
    assert told(order) == set()


def test_nothing_is_told_outside_a_transaction() -> None:
    with pytest.raises(TransactionManagementError):
        outbox.tell([], Event.CONFIRMED)
    with pytest.raises(TransactionManagementError):
        outbox.tell_expired([])


@pytest.mark.parametrize(
    ("ask", "ends_in", "minutes", "expected"),
    [
        ("email", 100, 10, 1),
        ("email", 130, 10, 0),  # not yet
        ("email", -1, 10, 0),  # over
        ("email", 100, 3, 0),  # it was too short for a warning
        ("", 100, 10, 0),  # no address is asked for
    ],
)
def test_a_hold_that_is_about_to_end_is_told_of_once(
    make_sale: MakeSale, ask: str, ends_in: float, minutes: int, expected: int
) -> None:
    sale = make_sale(stock=1, hold=minutes, live=False)
    Sale.objects.filter(pk=sale.pk).update(ask=ask)
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    [order] = hold(sale)
    end_holds(sale, ends_in)
    for _ in range(2):
        outbox.tell_expiring(2 * MINUTE, 5 * MINUTE)
    assert len(told(order)) == expected


# --- Consumers ------------------------------------------------------------------------------------


def tell(make_sale: MakeSale, orders: int = 1) -> list[Order]:
    held = hold(make_sale(stock=orders, hold=10), orders)
    with transaction.atomic():
        outbox.tell([order.pk for order in held], Event.SECURED)
    return held


def be_due(row: OutboxRow) -> None:
    OutboxRow.objects.filter(pk=row.pk).update(due=timezone.now())


def test_a_row_is_taken_once_and_finished_for_good(make_sale: MakeSale) -> None:
    [order] = tell(make_sale)
    assert outbox.take(Consumer.REFUND) is None
    row = outbox.take(Consumer.MAIL)
    assert row
    assert (row.order_id, row.event, row.tries) == (order.pk, "secured", 1)
    assert outbox.take(Consumer.MAIL) is None
    outbox.finish(row, Outcome.DONE)
    row.refresh_from_db()
    assert (row.due, row.outcome) == (None, "done")


def test_several_at_once_take_each_row_once(make_sale: MakeSale) -> None:
    tell(make_sale, 8)
    taken = at_once(*[lambda: outbox.take(Consumer.MAIL)] * 10)
    rows = [row.pk for row in taken if isinstance(row, OutboxRow)]
    assert len(rows) == len(set(rows))
    while row := outbox.take(Consumer.MAIL):
        rows.append(row.pk)
    assert len(rows) == len(set(rows)) == 8


def test_a_row_whose_consumer_died_is_taken_again_after_its_lease(make_sale: MakeSale) -> None:
    tell(make_sale)
    row = outbox.take(Consumer.MAIL)
    assert row
    row.refresh_from_db()
    assert row.due
    assert outbox.LEASE - MINUTE < row.due - timezone.now() <= outbox.LEASE
    be_due(row)
    again = outbox.take(Consumer.MAIL)
    assert again
    assert (again.pk, again.tries) == (row.pk, 2)
    outbox.finish(row, Outcome.FAILED)  # the first is not dead after all, and late
    again.refresh_from_db()
    assert again.outcome == Outcome.PENDING


def test_pauses_between_tries_grow(make_sale: MakeSale) -> None:
    tell(make_sale)
    pauses = []
    for _ in range(10):
        row = outbox.take(Consumer.MAIL)
        assert row
        outbox.postpone(row, "busy")
        row.refresh_from_db()
        assert row.due
        pauses.append(round((row.due - timezone.now()).total_seconds()))
        be_due(row)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert row
    assert row.problem == "busy"


def test_the_backlog_has_the_oldest_and_the_failed(make_sale: MakeSale) -> None:
    before = outbox.look(Consumer.MAIL)
    tell(make_sale, 2)
    row = outbox.take(Consumer.MAIL)
    assert row
    seen = outbox.look(Consumer.MAIL)
    assert seen.waiting == 2
    assert seen.oldest
    assert timezone.now() - seen.oldest < MINUTE
    outbox.finish(row, Outcome.FAILED, "no such address")
    seen = outbox.look(Consumer.MAIL)
    assert (seen.waiting, seen.failed) == (1, before.failed + 1)
