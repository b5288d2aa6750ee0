"""A new release migrates first, and the old one's processes go on meanwhile: what they ask still works.

So a column of these tables is added with a default or as optional, and taken away, or renamed, only by the
release after the one that no longer asks for it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddIndex
from django.utils import timezone
from psycopg import sql

from conftest import MakeSale
from inventory import stock
from inventory.models import Listing, Sale, StockMovement, Variant
from inventory.products import Product
from orders import settlement
from storefront.markdown import render_markdown
from tests.cast import stocked
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


def test_the_last_release_does_not_confirm_where_units_are_held_first(make_sale: MakeSale) -> None:
    """Its batch stays in the line: the error is of no class for which it rejects purchases."""
    sale = make_sale(stock=3, hold=10)
    with pytest.raises(DatabaseError, match="holds units before") as refused, undone() as cursor:
        sell_one(cursor, sale)
    assert not isinstance(refused.value, settlement._DATA_ERRORS)


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
        Permission.objects.filter(codename="change_product").delete()  # this release's
        old = Permission.objects.create(content_type=of_variants, codename="change_product")
        group, anna = (
            Group.objects.create(name="editors"),
            User.objects.create(username="anna-edits"),
        )
        group.permissions.add(old)
        anna.groups.add(group)
        import_module("inventory.migrations.0009_variant").give_permissions(apps, None)
        assert anna.has_perms(["inventory.change_product", "inventory.change_variant"])
        assert not anna.has_perm("inventory.delete_variant")
        import_module("inventory.migrations.0012_fill_products").permissions_of_products(apps, None)
        of_products = Permission.objects.get(codename="change_product")
        assert of_products.content_type == ContentType.objects.get_for_model(Product)
        assert User.objects.get(pk=anna.pk).has_perm("inventory.change_product")


def test_they_can_where_django_made_the_permissions_of_products_before() -> None:
    """`migrate orders` ends between both migrations, and Django adds permissions after each `migrate`."""
    with undone():
        made = Permission.objects.get(codename="change_product")
        of_variants = ContentType.objects.get_for_model(Variant)
        old = Permission.objects.create(content_type=of_variants, codename="change_product")
        group, anna = (
            Group.objects.create(name="editors"),
            User.objects.create(username="anna-edits"),
        )
        group.permissions.add(old)
        anna.user_permissions.add(old)
        import_module("inventory.migrations.0012_fill_products").permissions_of_products(apps, None)
        assert list(Permission.objects.filter(codename="change_product")) == [made]
        assert list(group.permissions.all()) == list(anna.user_permissions.all()) == [made]


# --- Products --------------------------------------------------------------------------------

INSERT_VARIANT = """
INSERT INTO inventory_product (sku, name, option, description, picture, picture_width, picture_height,
                               picture_text, price, currency, stock)
VALUES (%(sku)s, %(name)s, %(option)s, %(description)s, %(picture)s, 900, 600, %(text)s, 100, 'EUR', 0)
RETURNING id
"""


def insert_variant(cursor: CursorWrapper, sku: str, name: str = "Shoe", **facts: str) -> Variant:
    """As the last release does. Its product is made by a trigger, if there is one."""
    without = {"option": "", "description": "", "picture": "", "text": ""}
    cursor.execute(INSERT_VARIANT, {**without, **facts, "sku": sku, "name": name})
    return Variant.objects.get(pk=cursor.fetchone()[0])


@contextmanager
def before_products() -> Iterator[CursorWrapper]:
    """A shop before `0012_fill_products`, as far as rows go: variants have no product."""
    with undone() as cursor:
        Variant.objects.update(product=None)
        cursor.execute("DELETE FROM catalogue_picture")
        cursor.execute("DELETE FROM catalogue_product")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or the table cannot be altered
        cursor.execute("ALTER TABLE inventory_product DISABLE TRIGGER variant_has_product")
        yield cursor


def fill_products() -> None:
    migration = import_module("inventory.migrations.0012_fill_products")
    state = MigrationLoader(connection).project_state(("inventory", "0011_product"))
    migration.fill(state.apps, None)


def listed(variants: list[Variant], opens_in: int) -> Sale:
    opens_at = timezone.now() + timedelta(days=opens_in)
    closes_at, slug = opens_at + timedelta(hours=1), uuid4().hex
    sale = Sale.objects.create(
        slug=slug, name="Drop", opens_at=opens_at, closes_at=closes_at, status="draft"
    )
    if opens_in < 0:
        sale.finished = True
        sale.save()
    for position, variant in enumerate(variants):
        Listing.objects.create(sale=sale, variant=variant, position=position)
    return sale


def products_of(*variants: Variant) -> list[list[str]]:
    """The skus of each product of these variants, in its order."""
    products = Product.objects.filter(variants__in=variants).distinct().order_by("pk")
    return [
        list(product.variants.order_by("position").values_list("sku", flat=True))
        for product in products
    ]


def test_variants_of_one_name_in_one_sale_become_one_product() -> None:
    with before_products() as cursor:
        s41, s42, s43, other = (insert_variant(cursor, sku) for sku in ("41", "42", "43", "other"))
        hat = insert_variant(cursor, "hat", "Hat")
        listed([s42, s41, hat], -9)
        listed([s43, hat, s42], 9)  # the latest sale's order, and what only an older one had
        listed([other], 19)
        fill_products()
        assert sorted(products_of(s41, s42, s43, other, hat)) == [
            ["43", "42", "41"],
            ["hat"],
            ["other"],
        ]


def test_what_was_never_sold_is_joined_by_name_and_text() -> None:
    with before_products() as cursor:
        like = {"name": "Mug", "description": "Blue"}
        blue = [insert_variant(cursor, sku, **like) for sku in ("b1", "b2")]
        red = insert_variant(cursor, "r1", "Mug", description="Red")
        fill_products()
        assert sorted(products_of(*blue, red)) == [["b1", "b2"], ["r1"]]


def test_a_product_gets_text_slug_and_each_picture_once() -> None:
    digest, other, shoe = "a" * 32, "b" * 32, "Galosh"  # other tests have made many a shoe
    with before_products() as cursor:
        variants = [
            insert_variant(cursor, "42", shoe, picture=f"products/{digest}.webp", text="A shoe"),
            insert_variant(
                cursor, "43", shoe, picture=f"products/{digest}_x7Yz.webp", text="The same"
            ),
            insert_variant(cursor, "44", shoe, picture=f"products/{other}.webp", text="Its sole"),
            insert_variant(cursor, "45", shoe, description="Of the last"),
        ]
        cursor.execute("UPDATE inventory_product SET description = '# <b>5*</b>' WHERE sku = '42'")
        listed(variants, 9)
        fill_products()
        product = Product.objects.get(variants__sku="42")
        assert (product.name, product.slug) == ("Galosh", "galosh")
        assert render_markdown(product.description) == "<p># &lt;b&gt;5*&lt;/b&gt;</p>\n"
        pictures = product.pictures.values_list("file", "text", "file_width")
        assert list(pictures) == [
            (f"products/{digest}.webp", "A shoe", 900),
            (f"products/{other}.webp", "Its sole", 900),
        ]


def test_a_shop_is_filled_in_batches_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("inventory.migrations.0012_fill_products"), "NAMES", 2)
    with before_products() as cursor:
        variants = [insert_variant(cursor, f"many-{n}", f"Thing {n % 5}") for n in range(10)]
        fill_products()
        first = products_of(*variants)
        fill_products()
        assert products_of(*variants) == first
        assert [len(skus) for skus in first] == [2] * 5


def test_going_back_leaves_the_last_release_what_it_knows() -> None:
    with undone() as cursor:
        product = Product.objects.create(name="Boot", description="Warm")
        product.pictures.create(file="products/a.webp", text="A boot")
        variant = stocked("boot", 3, product)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        import_module("inventory.migrations.0012_fill_products").empty(apps, WithConnection())
        read = "SELECT name, description, picture, picture_text, stock FROM inventory_product"
        cursor.execute(f"{read} WHERE id = %s", [variant.pk])
        assert cursor.fetchone() == ("Boot", "Warm", "products/a.webp", "A boot", 3)


class WithConnection:
    connection = connection


PLAIN_TEXTS = [
    "Breathable mesh. Runs true to size.",
    "# 1. *not* <b>bold</b> & [no](link) _x_ `y` | - + ! ~ \\ $ % ^ '\"",
    "1. one\n2. two\n- three\n    four\n> five\n===\nsix  \nseven",
    "First.\n\nSecond.\r\n\r\n\r\nThird.",
    "&copy; \\& https://example.com <https://example.com>",
]


@pytest.mark.parametrize("plain", PLAIN_TEXTS)
def test_a_plain_text_looks_the_same_as_markdown(plain: str) -> None:
    with undone() as cursor:
        cursor.execute("SELECT catalogue_as_markdown(%s)", [plain])
        html = str(render_markdown(cursor.fetchone()[0]))
    assert set(re.findall(r"<(\w+)", html)) <= {"p", "br"}
    lines = re.split(r"<br>\n|</p>\n", html)
    shown = [unescape(line.removeprefix("<p>")) for line in lines if line]
    assert shown == [line.strip() for line in plain.splitlines() if line.strip()]


def test_the_last_release_inserts_variants_and_each_gets_a_product() -> None:
    with undone() as cursor:
        facts = {
            "description": "1. Blue\nand *soft*",
            "picture": "products/x.webp",
            "text": "A hat",
        }
        variant = insert_variant(cursor, "a-hat", "Blue hat", **facts)
        product = variant.product
        assert product
        assert (product.name, variant.name) == ("Blue hat", "Blue hat")
        assert product.slug == f"blue-hat-product-{product.pk}"
        assert render_markdown(product.description) == "<p>1. Blue<br>\nand *soft*</p>\n"
        assert [(p.file.name, p.text) for p in product.pictures.all()] == [
            ("products/x.webp", "A hat")
        ]


def test_the_last_release_sells_a_variant_that_it_has_inserted() -> None:
    """Its product keeps the name that the last release may not change, and the order has it."""
    with undone() as cursor:
        variant = insert_variant(cursor, "a-hat", "Blue hat", option="M")
        [locked] = stock.lock([variant.pk])
        stock.move(locked, 3, StockMovement.Reason.RECEIVED)
        sale = listed([locked], 9)
        with pytest.raises(IntegrityError), transaction.atomic():
            cursor.execute("UPDATE inventory_product SET name = 'Cap' WHERE sku = 'a-hat'")
        assert sell_one(cursor, sale) == "confirmed"
        [named] = sale.orders.values_list("product_name", "option", "sku")
        assert named == ("Blue hat", "M", "a-hat")


@pytest.mark.parametrize("column", ["name", "description", "picture_text"])
def test_the_last_release_does_not_edit_what_belongs_to_the_product(column: str) -> None:
    with undone() as cursor:
        variant = insert_variant(cursor, "a-hat", "Hat")
        cursor.execute("UPDATE inventory_product SET name = 'Hat', price = 200 WHERE sku = 'a-hat'")
        update = sql.SQL("UPDATE inventory_product SET {} = 'Cap' WHERE id = %s")
        with pytest.raises(IntegrityError, match="belong to its product"):
            cursor.execute(update.format(sql.Identifier(column)), [variant.pk])


def test_the_table_of_variants_has_the_name_that_the_last_release_asks_for() -> None:
    referring = [field.field.column for field in Variant._meta.related_objects if field.one_to_many]
    assert Variant._meta.db_table == "inventory_product"
    assert set(referring) == {"product_id"}


def test_what_comes_with_draws_builds_no_index_of_old_tables_under_a_lock() -> None:
    migrations = MigrationLoader(None).disk_migrations
    for (app, name), migration in migrations.items():
        if app == "orders" and name >= "0014":
            added = [each for each in migration.operations if isinstance(each, AddIndex)]
            assert all(isinstance(each, AddIndexConcurrently) for each in added)
            assert migration.atomic is not bool(added)
