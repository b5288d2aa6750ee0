"""A shopper's data is handed out and erased, on request and in time, and the books still balance."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import contacts
from accounts.models import Contact
from conftest import MakeSale
from inventory.models import Sale
from orders import finishing, reconciliation, sale_lifecycle, settlement
from orders.changes import NotPossible
from orders.models import AuditEntry, Order, OutboxRow, Shipment
from orders.shipping import mark_shipped
from payments import personal_data
from payments.models import Attempt, Refund
from payments.tasks import erase_contacts
from tests.cast import queue_up
from tests.shipped import ANNA, give_contact, pay, personal, sell


@pytest.fixture
def order(make_sale: MakeSale) -> Order:
    """Paid and shipped; its news is told."""
    [order] = sell(make_sale(hold=10))
    give_contact(order.pk)
    pay(order)
    mark_shipped(
        order.pk, carrier="DHL", number="0034", url="https://dhl.example/?zip=21614", by="a"
    )
    OutboxRow.objects.filter(order=order).update(due=None, outcome="done")
    return order


def finish(sale: Sale, days_ago: float) -> None:
    """The sale is over since so many days."""
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    now = timezone.now()
    Sale.objects.filter(pk=sale.pk).update(
        opens_at=now - timedelta(days=days_ago, hours=1), closes_at=now - timedelta(days=days_ago)
    )


def has_contact(order: Order) -> bool:
    return contacts.read(order.pk) is not None


def is_overdue(order: Order) -> bool:
    return any(order.pk in orders for orders in personal_data.find_overdue().values())


def erasures(**of: object) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="erased", **of))


# --- Handing out ---------------------------------------------------------------------------------


def test_all_that_is_known_of_a_shopper_is_handed_out_and_audited(order: Order) -> None:
    [told] = personal_data.hand_out([order.pk], by="anna")
    text = json.dumps(told, default=str, ensure_ascii=False)
    for known in (*personal(), "pi_3QuellwasserTest", "0034", "21614", str(order.shopper)):
        assert known in text, known
    assert told["total_minor"] == 12900
    assert [each["event"] for each in told["messages"]][-1] == "shipped"
    assert "anna" not in text
    [entry] = AuditEntry.objects.filter(order=order.pk, action="exported")
    assert (entry.actor, entry.before, entry.after) == ("anna", {}, {})


def test_an_order_without_contact_payment_and_parcel_is_handed_out(make_sale: MakeSale) -> None:
    [order] = sell(make_sale())
    [told] = personal_data.hand_out([order.pk], by="anna")
    assert (told["contact"], told["payments"], told["parcel"]) == (None, [], None)


# --- On request ----------------------------------------------------------------------------------


def test_an_erased_order_still_balances(order: Order) -> None:
    assert personal_data.erase(order.pk, by="anna", reason="asked for it")
    assert not personal_data.erase(order.pk, by="anna")
    assert not has_contact(order)
    assert contacts.find_orders(ANNA.email).count(order.pk) == 0
    shipment = Shipment.objects.get(pk=order.pk)
    assert (shipment.carrier, shipment.tracking_number, shipment.tracking_url) == ("DHL", "", "")
    [entry] = erasures(order=order.pk)
    assert (entry.actor, entry.reason) == ("anna", "asked for it")
    row = Contact.objects.get(pk=order.pk)
    assert [text for text in personal() if text in f"{row.sealed}{row.email_key}"] == []
    assert Attempt.objects.get(order=order).reference == "pi_3QuellwasserTest"
    assert reconciliation.verify(order.sale_id).faults == {}


def test_a_held_order_keeps_its_contact(make_sale: MakeSale) -> None:
    sale = make_sale(hold=10)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    give_contact(purchase)
    with pytest.raises(NotPossible, match="held"):
        personal_data.erase(purchase, by="anna")
    assert contacts.read(purchase)


def test_an_open_refund_keeps_the_contact(order: Order) -> None:
    attempt = Attempt.objects.get(order=order)
    refund = Refund.objects.create(attempt=attempt, amount=attempt.amount)
    with pytest.raises(NotPossible, match="refund"):
        personal_data.erase(order.pk, by="anna")
    Refund.objects.filter(pk=refund.pk).update(due=None, state="done")
    assert personal_data.erase(order.pk, by="anna")


# --- In time -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "days_ago", "erased"), [(30, 31, True), (30, 29, False), (0, 4000, False)]
)
def test_a_contact_goes_so_many_days_after_the_end(
    order: Order, days: int, days_ago: int, erased: bool
) -> None:
    Sale.objects.filter(pk=order.sale_id).update(contact_days=days)
    finish(order.sale, days_ago)
    assert is_overdue(order) is erased
    erase_contacts()
    assert has_contact(order) is not erased
    assert len(erasures(sale=order.sale_id, actor="retention")) == int(erased)
    assert not is_overdue(order)


def test_a_sale_that_has_not_finished_keeps_its_contacts(order: Order) -> None:
    now = timezone.now()
    Sale.objects.filter(pk=order.sale_id).update(
        opens_at=now - timedelta(days=900), closes_at=now - timedelta(days=800)
    )
    erase_contacts()
    assert has_contact(order)


@pytest.mark.parametrize("open_part", ["attempt", "refund", "news", "hold"])
def test_a_contact_that_is_still_needed_stays(order: Order, open_part: str) -> None:
    finish(order.sale, 400)
    attempt = Attempt.objects.get(order=order)
    if open_part == "attempt":
        Attempt.objects.filter(pk=attempt.pk).update(due=timezone.now())
    elif open_part == "refund":
        Refund.objects.create(attempt=attempt, amount=attempt.amount)
    elif open_part == "news":
        OutboxRow.objects.filter(order=order, event="shipped").update(due=timezone.now())
    else:
        twin = Order.objects.get(pk=order.pk)
        twin.pk, twin.status = type(order.pk)(int=order.pk.int ^ 1), "held"
        twin.save(force_insert=True)
        give_contact(twin.pk)
        erase_contacts()
        assert has_contact(twin)
        return
    assert not is_overdue(order)
    erase_contacts()
    assert has_contact(order)


def test_an_order_that_was_never_marked_as_shipped_goes_too(make_sale: MakeSale) -> None:
    [order] = sell(make_sale(hold=10))
    give_contact(order.pk)
    OutboxRow.objects.filter(order=order).update(due=None)
    finish(order.sale, 400)
    erase_contacts()
    assert not has_contact(order)


def test_very_many_are_erased_in_batches(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "BATCH", 2)
    sale = make_sale(stock=5)
    orders = sell(sale, 5)
    for order in orders:
        give_contact(order.pk)
    finish(sale, 400)
    assert personal_data.erase_overdue() >= 5
    reasons = [entry.reason for entry in erasures(sale=sale)]
    assert sorted(reasons) == [f"{n} contacts, 180 days after the end" for n in (1, 2, 2)]
