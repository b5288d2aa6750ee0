"""`manage.py order ship`, `data` and `erase`: a parcel is noted, a shopper's data handed out and erased."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone
from pytest_django import Settings

from accounts import contacts
from accounts.models import Contact
from conftest import MakeSale
from inventory.models import Sale
from ops.doctor import contacts as checks
from orders import finishing, sale_lifecycle, settlement
from orders.models import AuditEntry, Order, OutboxRow, Shipment
from orders.shipping import mark_shipped
from tests.cast import queue_up
from tests.operators import here, typed
from tests.shipped import ANNA, give_contact, personal, sell


@pytest.fixture
def order(make_sale: MakeSale) -> Order:
    [order] = sell(make_sale(hold=10))
    give_contact(order.pk)
    OutboxRow.objects.filter(order=order).update(due=None)
    return order


# --- ship ----------------------------------------------------------------------------------------


def test_an_order_is_shipped_by_its_reference(order: Order) -> None:
    parcel = ("--carrier", "DHL", "--number", "0034", "--url", "https://dhl.example/1")
    ran = here("order", "ship", order.reference, *parcel, "--no-input", "--by", "anna")
    assert (ran.code, ran.out.strip()) == (
        0,
        f"{order.reference}: shipped DHL 0034 https://dhl.example/1",
    )
    assert Shipment.objects.get(pk=order.pk).by == "anna"
    again = here("order", "ship", order.reference, *parcel, "--no-input", "--json")
    assert (again.code, again.told["number"]) == (0, "0034")
    assert AuditEntry.objects.filter(order=order.pk, action="shipped").count() == 1


def test_ship_asks_and_can_be_tried_dry(order: Order) -> None:
    assert here("order", "ship", str(order.pk)).code == 2
    assert here("order", "ship", str(order.pk), "--dry-run").code == 0
    assert not Shipment.objects.filter(pk=order.pk).exists()


def test_what_cannot_be_shipped_is_exit_code_1(order: Order, make_sale: MakeSale) -> None:
    wrong = here("order", "ship", str(order.pk), "--url", "dhl.example", "--no-input")
    assert (wrong.code, "https://" in wrong.err) == (1, True)
    here("order", "cancel", str(order.pk), "--no-input")
    late = here("order", "ship", str(order.pk), "--no-input")
    assert (late.code, "cancelled" in late.err) == (1, True)


# --- data ----------------------------------------------------------------------------------------


def test_all_data_of_an_address_are_one_json_document(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    first, second, other = sell(sale, 3)
    details = replace(ANNA, email=f"{first.pk.hex}@example.org")
    give_contact(first.pk, details)
    give_contact(second.pk, details)
    give_contact(other.pk, replace(details, email="ben@example.org"))
    ran = here("order", "data", "--email", details.email.upper(), "--by", "anna")
    assert [told["order"] for told in ran.told["orders"]] == [str(first.pk), str(second.pk)]
    assert ran.told["orders"][0]["contact"]["name"] == ANNA.name
    assert AuditEntry.objects.filter(order=second.pk, action="exported").count() == 1


def test_orders_or_an_address_are_needed_and_not_both(order: Order) -> None:
    for command in ("data", "erase"):
        assert here("order", command).code == 2
        assert here("order", command, str(order.pk), "--email", ANNA.email).code == 2
        unknown = here("order", command, "--email", "unknown@example.org")
        assert (unknown.code, unknown.out) == (1, "")


# --- erase ---------------------------------------------------------------------------------------


def test_a_contact_is_erased_and_the_order_stays(order: Order) -> None:
    mark_shipped(order.pk, by="staff")
    ran = here("order", "erase", order.reference, "--no-input", "--reason", "asked for it")
    assert (ran.code, ran.out.strip()) == (0, f"{order.reference}: erased")
    assert contacts.read(order.pk) is None
    shown = here("order", "data", str(order.pk)).out
    assert [text for text in personal() if text in shown] == []
    again = here("order", "erase", order.reference, "--no-input", "--json")
    assert (again.code, again.told["orders"][0]["outcome"]) == (0, "has no contact")
    assert AuditEntry.objects.filter(order=order.pk, action="erased").count() == 1


def test_erase_asks_says_what_is_not_shipped_and_can_be_tried_dry(order: Order) -> None:
    asked = here("order", "erase", str(order.pk))
    assert asked.code == 2
    assert f"Not shipped yet: {order.reference}" in asked.err
    assert here("order", "erase", str(order.pk), "--dry-run").code == 0
    assert here("order", "erase", str(order.pk), "--dry-run", "--json").told == {"orders": []}
    assert contacts.read(order.pk)


def test_one_that_cannot_be_erased_does_not_keep_the_others(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2, hold=10)
    [order] = sell(sale)
    [held] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    give_contact(order.pk)
    give_contact(held)
    ran = here("order", "erase", str(held), str(order.pk), "--no-input", "--json")
    outcomes = {told["id"]: told["erased"] for told in ran.told["orders"]}
    assert (ran.code, outcomes) == (1, {str(held): False, str(order.pk): True})
    assert contacts.read(held)


def test_words_are_parsed_as_typed(order: Order) -> None:
    assert typed("order", "erase", str(order.pk), "--yes").code == 2
    told = json.loads(typed("order", "data", str(order.pk)).out)
    assert told["orders"][0]["reference"] == order.reference


# --- in time -------------------------------------------------------------------------------------


def over(sale: Sale, days: float) -> None:
    sale_lifecycle.end(sale.pk, by="staff")
    finishing.finish_sale(sale.pk)
    end = timezone.now() - timedelta(days=days)
    Sale.objects.filter(pk=sale.pk).update(opens_at=end - timedelta(hours=1), closes_at=end)


def test_purge_counts_contacts_and_erases_them(order: Order) -> None:
    here("purge")
    over(order.sale, 181)
    assert here("purge", "--dry-run", "--json").told["contacts"] == 1
    assert contacts.read(order.pk)
    assert " 1 contacts," in here("purge").out
    assert contacts.read(order.pk) is None
    assert here("purge", "--json").told["contacts"] == 0


def test_the_doctor_says_what_should_be_erased_and_what_soon_will_be(order: Order) -> None:
    here("purge")
    over(order.sale, 181)
    assert [finding.state for finding in checks.check_retention()] == [
        "ok"
    ]  # beat has a day or two
    over_since = timezone.now() - timedelta(days=183)
    Sale.objects.filter(pk=order.sale_id).update(
        opens_at=over_since - timedelta(hours=1), closes_at=over_since
    )
    [late] = checks.check_retention()
    assert (late.state, "1 contacts" in late.seen) == ("warning", True)
    [soon] = checks.check_unshipped()
    assert (soon.state, order.sale.slug in soon.seen) == ("warning", True)
    mark_shipped(order.pk, by="staff")
    [soon] = checks.check_unshipped()
    assert order.sale.slug not in soon.seen


def test_the_doctor_misses_a_key_in_production(order: Order, settings: Settings) -> None:
    settings.PRODUCTION, settings.CONTACT_KEYS = True, []
    [finding] = checks.check_encryption()
    assert (finding.state, "CONTACT_KEYS" in finding.advice) == ("warning", True)


# --- rekey ---------------------------------------------------------------------------------------


def test_rekey_says_when_the_old_key_may_be_removed(order: Order, settings: Settings) -> None:
    Contact.objects.exclude(pk=order.pk).delete()
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.CONTACT_KEYS = [old]
    give_contact(order.pk)
    settings.CONTACT_KEYS = [new, old]
    counted = here("order", "rekey", "--dry-run")
    assert "1 were read by an older key" in counted.out
    assert "would be encrypted" in counted.out
    anew = here("order", "rekey", "--json")
    assert (anew.code, anew.told) == (0, {"seen": 1, "old": 1, "plain": 0, "unreadable": 0})
    assert "1 contacts looked at" in anew.err
    assert "The older keys may be removed" in here("order", "rekey").out
    settings.CONTACT_KEYS = [old]
    lost = here("order", "rekey")
    assert (lost.code, "1 contacts cannot be read" in lost.out) == (1, True)
    settings.CONTACT_KEYS = []
    none = here("order", "rekey")
    assert (none.code, "CONTACT_KEYS is empty" in none.err) == (1, True)
