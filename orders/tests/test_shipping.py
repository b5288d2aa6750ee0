"""A confirmed order is shipped once, and its parcel can be corrected."""

import threading
from contextlib import suppress
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, reconciliation, settlement, shipping
from orders.changes import NotPossible
from orders.models import AuditEntry, Order, OutboxRow, Shipment
from orders.shipping import mark_shipped
from tests import deadlines
from tests.cast import at_once, queue_up
from tests.row_locks import without_row_locks
from tests.shipped import sell

DHL: dict[str, Any] = {
    "carrier": "DHL",
    "number": "00340434",
    "url": "https://dhl.example/?id=00340434",
}


def shipped_mails(order: Order) -> list[str]:
    rows = OutboxRow.objects.filter(order=order, event="shipped", consumer="mail")
    return list(rows.values_list("detail", flat=True))


def audited(order: Order) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(order=order.pk, action="shipped"))


def test_a_confirmed_order_is_shipped_with_its_parcel(make_sale: MakeSale) -> None:
    [order] = sell(make_sale(hold=10))
    assert mark_shipped(order.pk, **DHL, by="anna")
    parcel = Shipment.objects.get(pk=order.pk)
    assert shipping.parcel_of(parcel) == tuple(DHL.values())
    [entry] = audited(order)
    assert (entry.actor, entry.sale_id, entry.before, entry.after) == (
        "anna",
        order.sale_id,
        {},
        {},
    )
    [detail] = shipped_mails(order)
    assert "00340434" not in detail
    assert reconciliation.verify(order.sale_id).faults == {}


def test_the_same_again_is_done_once(make_sale: MakeSale) -> None:
    [order] = sell(make_sale(hold=10))
    assert mark_shipped(order.pk, **DHL, by="anna")
    assert not mark_shipped(order.pk, **DHL, by="ben")
    assert not mark_shipped(order.pk, by="ben")  # none given: nothing is taken away
    assert shipping.parcel_of(Shipment.objects.get(pk=order.pk)) == tuple(DHL.values())
    assert (len(audited(order)), len(shipped_mails(order))) == (1, 1)


def test_a_form_that_is_sent_twice_changes_nothing_the_second_time(make_sale: MakeSale) -> None:
    [order] = sell(make_sale())
    key = uuid4()
    assert mark_shipped(order.pk, number="1", by="anna", key=key)
    assert mark_shipped(order.pk, number="2", by="ben")
    assert not mark_shipped(order.pk, number="1", by="anna", key=key)
    assert Shipment.objects.get(pk=order.pk).tracking_number == "2"


def test_a_correction_keeps_when_it_left_and_is_told(make_sale: MakeSale) -> None:
    [order] = sell(make_sale(hold=10))
    mark_shipped(order.pk, **DHL, by="anna")
    left = Shipment.objects.get(pk=order.pk).shipped_at
    assert mark_shipped(order.pk, carrier="DHL", number="00340435", by="ben")
    parcel = Shipment.objects.get(pk=order.pk)
    assert (parcel.shipped_at, parcel.tracking_number, parcel.tracking_url) == (
        left,
        "00340435",
        "",
    )
    assert (len(audited(order)), len(shipped_mails(order))) == (2, 2)


def test_a_sale_without_checkout_tells_nobody(make_sale: MakeSale) -> None:
    [order] = sell(make_sale())
    assert mark_shipped(order.pk, by="anna")
    assert shipped_mails(order) == []


def hold(sale: Sale) -> Order:
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    return Order.objects.get(pk=purchase)


def test_only_a_confirmed_order_is_shipped(make_sale: MakeSale) -> None:
    sale = make_sale(hold=10)
    waits = hold(sale)
    with pytest.raises(NotPossible, match="this one is held"):
        mark_shipped(waits.pk, by="anna")
    cancellation.cancel_order(waits.pk, by="anna")
    with pytest.raises(NotPossible, match="this one is cancelled"):
        mark_shipped(waits.pk, by="anna")
    with pytest.raises(Order.DoesNotExist):
        mark_shipped(uuid4(), by="anna")
    assert not Shipment.objects.filter(pk=waits.pk).exists()
    assert audited(waits) == []


@pytest.mark.parametrize(
    ("parcel", "why"),
    [
        ({"url": "javascript:alert(1)"}, "https://"),
        ({"url": "ftp://dhl.example/1"}, "https://"),
        ({"url": "dhl.example/1"}, "https://"),
        ({"url": f"https://dhl.example/{'1' * 500}"}, "500 characters"),
        ({"number": "1" * 61}, "60 characters"),
        ({"carrier": "D\u202eHL"}, "RIGHT-TO-LEFT"),
        ({"number": "1\x00"}, "U\\+0000"),
    ],
)
def test_what_is_no_parcel_is_refused_with_a_sentence(
    make_sale: MakeSale, parcel: dict[str, Any], why: str
) -> None:
    [order] = sell(make_sale())
    with pytest.raises(NotPossible, match=why):
        mark_shipped(order.pk, **parcel, by="anna")
    assert not Shipment.objects.filter(pk=order.pk).exists()


def test_blanks_around_are_not_part_of_a_parcel(make_sale: MakeSale) -> None:
    [order] = sell(make_sale())
    mark_shipped(order.pk, carrier=" DHL\u00a0", number=" 1 2 ", url=" ", by="anna")
    assert shipping.parcel_of(Shipment.objects.get(pk=order.pk)) == ("DHL", "1 2", "")


# --- At once -------------------------------------------------------------------------------------


def ship_twice_at_once(order: Order, patience: float) -> list[object]:
    """Two parcels of one order, written by two at once if nothing keeps them apart. One waits so many
    seconds for the other: with a lock for less than LOCK_TIMEOUT."""
    write, both = shipping._write, threading.Barrier(2)

    def write_together(*args: Any) -> None:
        with suppress(threading.BrokenBarrierError):  # the other waits for the lock
            both.wait(patience)
        write(*args)

    with patch.object(shipping, "_write", write_together):
        return at_once(*[lambda: mark_shipped(order.pk, **DHL, by="anna")] * 2)


def test_two_at_once_ship_once(make_sale: MakeSale) -> None:
    [order] = sell(make_sale(hold=10))
    assert sorted(map(str, ship_twice_at_once(order, 0.5))) == ["False", "True"]
    assert (len(audited(order)), len(shipped_mails(order))) == (1, 1)


def test_their_twin_without_the_lock_ships_twice(make_sale: MakeSale) -> None:
    [order] = sell(make_sale(hold=10))
    with without_row_locks():
        assert "False" not in map(str, ship_twice_at_once(order, deadlines.seconds(20)))
