"""A new release migrates first, and the old one's processes go on meanwhile: what they ask still works.

So a column of these tables is added with a default or as optional, and taken away, or renamed, only by the
release after the one that no longer asks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper

from conftest import MakeSale
from inventory.models import Sale, Variant
from tests.deploy import released


@contextmanager
def undone() -> Iterator[CursorWrapper]:
    with transaction.atomic(), connection.cursor() as cursor:
        yield cursor
        transaction.set_rollback(True)


def sell_one(cursor: CursorWrapper, sale: Sale) -> str:
    """As the released settlement does. Gives what has become of the purchase by the released tale."""
    statements, variant = released.then(), sale.variants.get()
    purchase, shopper = uuid4().hex, uuid4().hex
    named: dict[str, Any] = {"sale": sale.pk, "sku": variant.sku}
    cursor.execute(statements["lock the sale"], [sale.pk])
    assert len(cursor.fetchall()) == 1
    values = [named[name] for name in statements["order of its values"]]
    cursor.execute(statements["lock a product"], values)
    assert len(cursor.fetchall()) == 1
    asked: dict[str, Any] = {
        "sale": sale.pk,
        "purchases": f"{{{purchase}}}",
        "shoppers": f"{{{shopper}}}",
    }
    cursor.execute(statements["look up"], asked)
    assert cursor.fetchall() == []
    cursor.execute(
        statements["write"],
        {
            "sale": sale.pk,
            "version": sale.version + 1,
            "confirmed": 1,
            "sold": [variant.pk],
            "units": [1],
            "ids": f"{{{purchase}}}",
            "products": f"{{{variant.pk}}}",
            "shoppers": f"{{{shopper}}}",
            "quantities": "{1}",
            "prices": f"{{{variant.price}}}",
            "currencies": "{EUR}",
            "statuses": "{confirmed}",
            "reasons": '{""}',
            "accepted": "{2030-01-01T00:00:00Z}",
        },
    )
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute(statements["tale"], {"sale": sale.pk, "since": sale.version})
    [(_, version, _, stock, answers, bought)] = cursor.fetchall()
    assert version == sale.version + 1
    assert stock[variant.sku] == variant.stock - 1
    assert bought == {shopper: 1}
    [[told, status, *_]] = answers
    assert told == purchase
    return str(status)


def cancel(cursor: CursorWrapper, sale: Sale, purchase: str) -> None:
    """As the released code does, after it has read the order."""
    statements = released.then()
    cursor.execute(statements["read an order"], [purchase])
    assert len(cursor.fetchall()) == 1
    cursor.execute(statements["cancel an order"], ["cancelled", sale.version + 2, purchase])
    assert cursor.rowcount == 1


def owned(sale: Sale) -> list[int]:
    return list(sale.orders.values_list("owned", flat=True))


def test_the_last_release_sells_on_this_schema(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    variant = sale.variants.get()
    with undone() as cursor:
        assert sell_one(cursor, sale) == "confirmed"
        [named] = sale.orders.values_list("product_name", "option", "sku")
        assert named == (variant.name, variant.option, variant.sku)
    assert sale.orders.count() == 0


def test_what_the_last_release_sells_and_cancels_is_owned_and_returned(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    with undone() as cursor:
        sell_one(cursor, sale)
        assert owned(sale) == [1]
        cancel(cursor, sale, sale.orders.get().pk.hex)
        assert owned(sale) == [0]


@pytest.mark.parametrize(
    "migration",
    [
        "ALTER TABLE orders_order RENAME COLUMN reason TO cause",
        "ALTER TABLE orders_order ADD COLUMN channel text NOT NULL",
        "ALTER TABLE inventory_stockmovement ADD COLUMN warehouse integer NOT NULL",
        "ALTER TABLE inventory_sale RENAME COLUMN version TO revision",
    ],
)
def test_what_would_stop_it_is_found(make_sale: MakeSale, migration: str) -> None:
    sale = make_sale(stock=3)
    with pytest.raises(DatabaseError):
        sell_after(migration, sale)


def sell_after(migration: str, sale: Sale) -> None:
    with undone() as cursor:
        if "ADD COLUMN" in migration:  # where there are rows: with a default, which is taken away
            table, column = migration.split()[2], migration.split()[5]
            cursor.execute(f"{migration} DEFAULT '0'")
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT")
        else:
            cursor.execute(migration)
        sell_one(cursor, sale)


def test_who_could_edit_products_can_edit_variants() -> None:
    """The last release asks for the old permission, this one for the new."""
    with undone():
        of_variants = ContentType.objects.get_for_model(Variant)
        old = Permission.objects.create(content_type=of_variants, codename="change_product")
        group, anna = Group.objects.create(name="editors"), User.objects.create(username="anna")
        group.permissions.add(old)
        anna.groups.add(group)
        import_module("inventory.migrations.0009_variant").give_permissions(apps, None)
        assert anna.has_perms(["inventory.change_product", "inventory.change_variant"])
        assert not anna.has_perm("inventory.delete_variant")


def test_the_table_of_variants_has_the_name_that_the_last_release_asks_for() -> None:
    referring = [field.field.column for field in Variant._meta.related_objects if field.one_to_many]
    assert Variant._meta.db_table == "inventory_product"
    assert set(referring) == {"product_id"}
