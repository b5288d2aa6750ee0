"""An order says what was bought, whatever becomes of the catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import UUID

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale, Variant
from inventory.products import Product
from orders import audit_trail, reconciliation, replication
from orders.models import AuditEntry, Order
from orders.settlement import settle
from orders.tickets import new_purchase
from tests.cast import promise_too_much, queue_up

migration = import_module("orders.migrations.0009_what_was_bought")

KEPT = ("product_name", "option", "sku", "unit_price", "currency")


@contextmanager
def undone() -> Iterator[CursorWrapper]:
    with transaction.atomic(), connection.cursor() as cursor:
        yield cursor
        transaction.set_rollback(True)


def kept(order: Order) -> tuple[object, ...]:
    order.refresh_from_db()
    return tuple(getattr(order, name) for name in KEPT)


def test_settlement_keeps_it_on_confirmed_and_on_rejected_orders(make_sale: MakeSale) -> None:
    sale = make_sale(stock={"shoe": 1, "bag": 1})
    Variant.objects.filter(sales=sale).update(option='7½, "wide"')
    promise_too_much(sale, 2)
    for variant in sale.variants.all():
        queue_up(sale, 2, sku=variant.sku)
    settle(sale.pk)
    assert sorted(sale.orders.values_list("status", *KEPT)) == sorted(
        (status, variant.name, '7½, "wide"', variant.sku, 12900, "EUR")
        for variant in sale.variants.all()
        for status in ("confirmed", "rejected")
    )


def test_an_order_of_no_product_says_nothing(make_sale: MakeSale) -> None:
    sale = make_sale()
    [purchase] = queue_up(sale, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inventory.stock.read_locked", lambda rows: [])  # it lists no such product
        settle(sale.pk)
    assert kept(Order.objects.get(pk=purchase)) == ("", "", "", 0, "")


@pytest.mark.parametrize("column", ["product_name", "option", "sku"])
@pytest.mark.parametrize("also", ["", ", status = 'cancelled', version = version + 1"])
def test_postgresql_lets_nobody_change_it(make_sale: MakeSale, column: str, also: str) -> None:
    sale = make_sale()
    [purchase] = queue_up(sale, 1)
    settle(sale.pk)
    change = f"UPDATE orders_order SET {column} = 'x'{also} WHERE id = %s"  # noqa: S608
    with undone() as cursor:
        refused(cursor, change, purchase)


def test_an_order_of_a_product_has_to_name_it(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with undone() as cursor:
        cursor.execute("ALTER TABLE orders_order DISABLE TRIGGER order_names_its_product")
        with pytest.raises(IntegrityError, match="order_names_its_product"):
            order(sale)


def test_an_insert_that_does_not_name_it_gets_it_from_the_catalogue(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    variant = sale.variants.get()
    with undone():
        assert kept(order(sale))[:3] == (variant.name, variant.option, variant.sku)


def test_gate_and_verify_go_by_the_orders_sku(make_sale: MakeSale) -> None:
    sale = make_sale()
    [purchase] = queue_up(sale, 1)
    settle(sale.pk)
    sku = sale.variants.get().sku
    with undone() as cursor:
        cursor.execute("ALTER TABLE inventory_product DISABLE TRIGGER USER")
        cursor.execute("UPDATE inventory_product SET sku = sku || '-new' WHERE sku = %s", [sku])
        delta = replication.delta_since(sale.pk, 0)
        assert delta is not None
        assert [answer[4] for answer in delta.answers] == [sku]
        cursor.execute(reconciliation._ORDERS, {"sale": sale.pk, "purchase": purchase})
        assert [row[4] for row in cursor.fetchall()] == [sku]


# --- The migration --------------------------------------------------------------------------------


def test_orders_from_before_are_filled_and_then_final(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock={"shoe": 1, "bag": 1}, live=False)
    monkeypatch.setattr(migration, "BATCH", Order.objects.count() // 20 + 1)
    with before_the_migration() as cursor:
        old = {variant.sku: order(sale, variant) for variant in sale.variants.all()}
        assert {kept(each)[:3] for each in old.values()} == {("", "", "")}
        migration.fill(apps, connection.schema_editor())
        for sku, each in old.items():
            variant = Variant.objects.get(sku=sku)
            assert kept(each)[:3] == (variant.name, variant.option, variant.sku)
            refused(cursor, "UPDATE orders_order SET sku = 'other' WHERE id = %s", each.pk)
        cursor.execute(migration.FINAL)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_an_order_from_before_a_rename_gets_the_name_of_then(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    variant = sale.variants.get()
    option = variant.option
    with before_the_migration():
        first = order(sale, variant)
        rename(variant, name="Red Walker")
        second = order(sale, variant)
        rename(variant, name="Toaster", option="39")
        third = order(sale, variant)
        migration.fill(apps, connection.schema_editor())
        assert [kept(each)[:2] for each in (first, second, third)] == [
            ("Shoe", option),
            ("Red Walker", option),
            ("Toaster", "39"),
        ]


def test_while_it_is_filled_nothing_else_may_change(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    with before_the_migration() as cursor:
        old = order(sale)
        fill = "UPDATE orders_order SET sku = 'shoe', product_name = 'Shoe'"
        refused(cursor, f"{fill}, quantity = 7 WHERE id = %s", old.pk)
        refused(cursor, f"{fill}, status = 'cancelled' WHERE id = %s", old.pk)
        refused(cursor, "UPDATE orders_order SET product_name = 'Shoe' WHERE id = %s", old.pk)
        cursor.execute(f"{fill} WHERE id = %s", [old.pk])
        cancel = "UPDATE orders_order SET status = 'cancelled', version = version + 1 WHERE id = %s"
        cursor.execute(cancel, [old.pk])


@contextmanager
def before_the_migration() -> Iterator[CursorWrapper]:
    """Orders do not name their products, and the migration's first step is done."""
    with undone() as cursor:
        cursor.execute("ALTER TABLE orders_order DROP CONSTRAINT order_names_its_product")
        cursor.execute("ALTER TABLE orders_order DISABLE TRIGGER order_names_its_product")
        cursor.execute(migration.FINAL_BUT_FILLED)
        yield cursor


def refused(cursor: CursorWrapper, statement: str, purchase: UUID) -> None:
    with pytest.raises(IntegrityError, match="is final"), transaction.atomic():
        cursor.execute(statement, [purchase])


_seconds = iter(range(10**6))


def later() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=next(_seconds))


def rename(variant: Variant, **names: str) -> None:
    """As staff do in admin, at a later second."""
    with audit_trail.auditing(AuditEntry.Action.EDITED, variant, by="anna"):
        if "name" in names:
            Product.objects.filter(variants=variant).update(name=names["name"])
        for name, value in names.items():
            setattr(variant, name, value)
        variant.save(update_fields=names.keys() - {"name"})
    latest = AuditEntry.objects.filter(variant=variant).order_by("-id")[0]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_auditentry DISABLE TRIGGER USER")
        cursor.execute("UPDATE orders_auditentry SET at = %s WHERE id = %s", [later(), latest.pk])


def order(sale: Sale, variant: Variant | None = None) -> Order:
    """An order as a statement of the last release leaves it."""
    return Order.objects.create(
        pk=new_purchase(sale.pk),
        sale=sale,
        variant=variant or sale.variants.get(),
        shopper=new_shopper(),
        quantity=1,
        unit_price=12900,
        currency="EUR",
        status="confirmed",
        reason="",
        version=2,
        accepted_at=later(),
        settled_at=later(),
    )
