"""Each change by staff leaves a row with who, what, why and when."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, changes, sale_lifecycle, settlement, stock_changes
from orders.models import AuditEntry
from tests.cast import queue_up


def last_entry(sale: Sale) -> AuditEntry:
    entry = AuditEntry.objects.filter(sale=sale).first()
    assert entry
    return entry


def test_a_pause_says_who_and_why_and_what_it_changed(make_sale: MakeSale) -> None:
    sale = make_sale()
    sale_lifecycle.pause(sale.pk, by="anna", reason="wrong picture")
    entry = last_entry(sale)
    assert (entry.action, entry.actor, entry.reason) == ("paused", "anna", "wrong picture")
    assert (entry.before, entry.after) == ({"status": "live"}, {"status": "paused"})
    assert entry.subject == sale.slug


def test_a_restock_says_what_the_stock_was(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    variant = sale.variants.get()
    stock_changes.restock(variant.pk, 4, by="anna")
    entry = last_entry(sale)
    assert entry.action == "restocked"
    assert (entry.before, entry.after) == ({"stock": 3}, {"stock": 7})
    assert (entry.subject, entry.variant) == (variant.sku, variant)


def test_a_correction_is_called_a_correction(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    stock_changes.correct(sale.variants.get().pk, -1, by="anna", reason="broken")
    entry = last_entry(sale)
    assert (entry.action, entry.actor, entry.reason) == ("corrected", "anna", "broken")
    assert (entry.before, entry.after) == ({"stock": 3}, {"stock": 2})


def test_a_cancellation_names_its_order_once(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    [purchase] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    cancellation.cancel_order(purchase, by="anna", reason="asked for it")
    cancellation.cancel_order(purchase, by="anna")
    [entry] = AuditEntry.objects.filter(order=purchase)
    assert (entry.before, entry.after) == ({"status": "confirmed"}, {"status": "cancelled"})


def test_times_are_kept_in_utc_however_they_were_written(make_sale: MakeSale) -> None:
    sale = make_sale()
    closes_at = datetime(2099, 12, 1, 18, tzinfo=ZoneInfo("Asia/Tokyo"))
    sale_lifecycle.change_window(sale.pk, closes_at=closes_at, by="anna")
    assert last_entry(sale).after == {"closes_at": "2099-12-01T09:00:00+00:00"}


def test_what_was_not_possible_is_not_written_down(make_sale: MakeSale) -> None:
    sale = make_sale()
    before = last_entry(sale)
    with pytest.raises(changes.NotPossible):
        sale_lifecycle.resume(sale.pk, by="anna")
    assert last_entry(sale) == before


@pytest.mark.parametrize(
    "statement",
    ["UPDATE orders_auditentry SET actor = 'nobody'", "DELETE FROM orders_auditentry"],
)
def test_nobody_rewrites_the_audit(make_sale: MakeSale, statement: str) -> None:
    make_sale()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
