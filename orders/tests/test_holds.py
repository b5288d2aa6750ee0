"""Holds: units that are a shopper's until a time, and then confirmed, given back or on sale again."""

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Listing, Sale, StockMovement
from orders import (
    cancellation,
    caretaker,
    confirmation,
    export,
    finishing,
    holds,
    reconciliation,
    sale_lifecycle,
    settlement,
)
from orders.changes import NotPossible
from orders.models import AuditEntry, Order
from orders.order_status import Status
from tests.cast import end_holds, owned_units, queue_up, run_caretaker


def hold(sale: Sale, orders: int = 1) -> list[Order]:
    """Let so many shoppers get units of a sale with a hold."""
    purchases = queue_up(sale, orders)
    settlement.settle(sale.pk)
    return list(Order.objects.filter(pk__in=purchases))


def counts(sale: Sale) -> tuple[int, int]:
    sale.refresh_from_db()
    return sale.held, sale.confirmed


def test_a_sale_without_a_hold_confirms_at_once(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    [order] = hold(sale)
    assert (order.status, order.hold_until) == (Status.CONFIRMED, None)
    answer, _ = replica.read_answer(sale.pk, order.pk.hex)
    assert answer == ("confirmed", "", order.shopper.hex, order.sku, 1, 0, 0)
    assert counts(sale) == (0, 1)


def test_a_sale_with_a_hold_holds_units_until_a_time(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, hold=10)
    before = timezone.now()
    [order] = hold(sale)
    assert order.status == Status.HELD
    assert order.hold_until
    ten = timedelta(minutes=10)
    assert before + ten - timedelta(seconds=5) < order.hold_until < timezone.now() + ten
    assert order.owned == 1
    assert sale.variants.get().stock == 1
    answer, _ = replica.read_answer(sale.pk, order.pk.hex)
    end = round(order.hold_until.timestamp() * 1000)
    assert answer == ("held", "", order.shopper.hex, order.sku, 1, end, 0)
    assert counts(sale) == (1, 0)
    assert reconciliation.verify(sale.pk).faults == {}


def test_holds_of_a_rebuilt_gate_end_as_before(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, hold=10)
    [order] = hold(sale)
    told, _ = replica.read_answer(sale.pk, order.pk.hex)
    replica.empty_gate(sale.pk)
    run_caretaker()
    assert replica.read_answer(sale.pk, order.pk.hex)[0] == told
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_purchase_that_one_batch_refuses_is_held_too(make_sale: MakeSale) -> None:
    """An entry that PostgreSQL refuses makes settlement write one by one."""
    sale = make_sale(stock=5, hold=10)
    epoch, _, raw = replica.read_line(sale.pk, 10)
    purchases = queue_up(sale, 2)
    epoch, _, raw = replica.read_line(sale.pk, 10)
    entries = settlement._select_decidable(sale.pk, raw)
    delta = settlement._decide(sale.pk, epoch, entries, settlement._record_one_by_one)
    assert delta
    run_caretaker()
    ends = dict(Order.objects.filter(pk__in=purchases).values_list("pk", "hold_until"))
    told = {answer[0]: answer[6] for answer in delta.answers}
    assert told == {key.hex: round(end.timestamp() * 1000) for key, end in ends.items() if end}
    assert counts(sale) == (2, 0)
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_confirmed_hold_stays_the_shoppers(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = hold(sale)
    assert confirmation.confirm_hold(order.pk)
    assert not confirmation.confirm_hold(order.pk)
    end_holds(sale)
    caretaker.expire_holds()
    order.refresh_from_db()
    assert order.status == Status.CONFIRMED
    assert counts(sale) == (0, 1)
    assert replica.read_answer(sale.pk, order.pk.hex)[0] == (
        *("confirmed", "", order.shopper.hex, order.sku, 1, 0, 0),
    )
    assert reconciliation.verify(sale.pk).faults == {}


def test_an_expired_hold_returns_its_units_once_and_they_are_sold_again(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = hold(sale)
    end_holds(sale)
    caretaker.expire_holds()
    caretaker.expire_holds()
    order.refresh_from_db()
    assert order.status == Status.EXPIRED
    assert sale.variants.get().stock == 1
    assert counts(sale) == (0, 0)
    with pytest.raises(NotPossible):
        confirmation.confirm_hold(order.pk)
    with pytest.raises(NotPossible):
        cancellation.cancel_order(order.pk, by="staff")
    [again] = hold(sale)
    assert again.status == Status.HELD
    assert reconciliation.verify(sale.pk).faults == {}


@pytest.mark.parametrize(("seconds", "status"), [(-4, Status.HELD), (-6, Status.EXPIRED)])
def test_the_server_grants_a_few_seconds(make_sale: MakeSale, seconds: int, status: Status) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = hold(sale)
    end_holds(sale, seconds)
    # In the transaction's first moment, however slow the machine is.
    with connection.cursor() as cursor:
        cursor.execute("SELECT hold_until FROM orders_order WHERE id = %s", [order.pk])
    assert holds.expire(sale.pk, [order.variant_id or 0]) == (1 if status == Status.EXPIRED else 0)
    order.refresh_from_db()
    assert order.status == status


def test_holds_expire_in_batches_each_with_its_ledger_row(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "BATCH", 4)
    sale = make_sale(stock=10, hold=10)
    hold(sale, 10)
    end_holds(sale)
    sale.refresh_from_db()
    caretaker.expire_holds()
    moved = StockMovement.objects.filter(variant=sale.variants.get(), reason="expired")
    assert sorted(moved.values_list("delta", flat=True)) == [2, 4, 4]
    before = sale.version
    sale.refresh_from_db()
    assert sale.version == before + 3
    assert (sale.variants.get().stock, owned_units(sale), sale.held) == (10, 0, 0)
    assert reconciliation.verify(sale.pk).faults == {}


def test_nothing_that_ends_changes_nothing(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = hold(sale)
    sale.refresh_from_db()
    assert holds.expire(sale.pk, [order.variant_id or 0]) == 0
    before = sale.version
    sale.refresh_from_db()
    assert sale.version == before


def test_a_hold_of_a_finished_sale_expires_into_the_sale_that_has_the_product_now(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock={"shoe": 1, "shirt": 1}, hold=10)
    other = make_sale(live=False, opens_in=60)
    for sku in sale.listings.values_list("variant__sku", flat=True):
        [_] = queue_up(sale, 1, sku=sku)
    settlement.settle(sale.pk)
    sale_lifecycle.end(sale.pk, by="staff")
    finishing.finish_sale(sale.pk)
    shoe = sale.variants.get(sku__startswith="shoe")
    Listing.objects.create(sale=other, variant=shoe, position=9)
    sale_lifecycle.schedule(other.pk, by="staff")
    run_caretaker()
    end_holds(sale)
    caretaker.expire_holds()
    assert list(sale.variants.values_list("stock", flat=True)) == [1, 1]
    assert replica.read_view(other.pk).stock[shoe.sku] == 1
    assert reconciliation.verify(sale.pk).faults == {}
    assert reconciliation.verify(other.pk).faults == {}


def test_a_shopper_gives_a_hold_back_once(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = hold(sale)
    assert cancellation.give_back(order.pk)
    assert not cancellation.give_back(order.pk)
    order.refresh_from_db()
    assert order.status == Status.CANCELLED
    assert (sale.variants.get().stock, *counts(sale)) == (1, 0, 0)
    [entry] = AuditEntry.objects.filter(order=order.pk)
    assert (entry.action, entry.actor) == ("cancelled", cancellation.THE_SHOPPER)
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_confirmed_order_cannot_be_given_back(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = hold(sale)
    confirmation.confirm_hold(order.pk)
    with pytest.raises(NotPossible, match="confirmed"):
        cancellation.give_back(order.pk)
    assert cancellation.cancel_order(order.pk, by="staff")
    assert counts(sale) == (0, 0)


def test_a_held_order_counts_for_the_limit(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, hold=10)
    [order] = hold(sale)
    assert replica.read_bought_by(sale.pk, order.shopper.hex) == 1
    end_holds(sale)
    caretaker.expire_holds()
    assert replica.read_bought_by(sale.pk, order.shopper.hex) == 0


@pytest.mark.parametrize(
    ("was", "becomes", "allowed"),
    [(10, 20, True), (10, 9, False), (10, 0, False), (0, 10, False)],
)
def test_the_hold_of_a_public_sale_only_becomes_longer(
    make_sale: MakeSale, was: int, becomes: int, allowed: bool
) -> None:
    sale = make_sale(stock=1, hold=was)
    if allowed:
        sale_lifecycle.change_hold(sale.pk, becomes, by="staff")
        assert AuditEntry.objects.get(sale=sale, action="hold").after == {"hold_minutes": becomes}
    else:
        with pytest.raises(NotPossible):
            sale_lifecycle.change_hold(sale.pk, becomes, by="staff")
        with pytest.raises(IntegrityError, match="cannot go back"):
            Sale.objects.filter(pk=sale.pk).update(hold_minutes=becomes)


def test_the_hold_of_a_draft_changes_freely(make_sale: MakeSale) -> None:
    sale = make_sale(live=False, hold=10)
    for minutes in (0, 20, 5):
        sale_lifecycle.change_hold(sale.pk, minutes, by="staff")
    with pytest.raises(NotPossible):
        sale_lifecycle.change_hold(sale.pk, 7 * 24 * 60 + 1, by="staff")


def test_a_checkout_keeps_its_hold(make_sale: MakeSale) -> None:
    sale = make_sale(live=False, hold=10)
    Sale.objects.filter(pk=sale.pk).update(ask="email")
    with pytest.raises(NotPossible, match="needs a hold of some minutes"):
        sale_lifecycle.change_hold(sale.pk, 0, by="staff")


def test_the_export_has_the_end_of_a_hold(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = hold(sale)
    assert order.hold_until
    chosen = export.choose(sale=sale.pk, statuses=["held"])
    with export.copy_orders(chosen) as rows:
        [row] = [dict(zip(export.columns(chosen), row, strict=True)) for row in rows]
    assert row["status"] == "held"
    assert datetime.fromisoformat(str(row["hold_until"])) == order.hold_until


def test_the_export_of_a_sale_without_a_hold_has_no_column_for_it(make_sale: MakeSale) -> None:
    without, holding = make_sale(), make_sale(hold=10)
    assert "hold_until" not in export.columns(export.choose(sale=without.pk))
    assert "hold_until" in export.columns(export.choose(sale=holding.pk))
    assert "hold_until" in export.columns(export.choose())
    queue_up(without, 1)
    settlement.settle(without.pk)
    with export.copy_orders(export.choose(sale=without.pk)) as rows:
        [row] = rows
    assert len(row) == len(export.COLUMNS)
