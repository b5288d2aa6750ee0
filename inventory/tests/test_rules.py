"""Rules of PostgreSQL: they hold for the ORM, raw SQL and a console alike."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from inventory import stock
from inventory.constraint_messages import explain
from inventory.models import Listing, Sale, StockMovement, Variant
from inventory.products import Picture, Product

Reason = StockMovement.Reason


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    """Rules need no commit, so the rows that break them do not disturb other tests."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def refused(rule: str) -> Iterator[None]:
    """PostgreSQL refuses, at the latest at the end of the transaction, and names the rule."""
    # The caller's block is the statement that is refused.
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():  # noqa: PT012
        yield
        end_of_transaction()


def end_of_transaction() -> None:
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("SET CONSTRAINTS ALL DEFERRED")


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def now() -> datetime:
    """The same throughout a test: in a transaction PostgreSQL's `now()` does not change."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def a_variant(units: int = 0) -> Variant:
    sku = f"rule-{uuid4().hex[:12]}"
    variant = Variant.objects.create(sku=sku, name="Shoe", price=12900, currency="EUR")
    if units:
        stock.move(variant, units, Reason.RECEIVED)
    return variant


def a_sale(*variants: Variant, opens: int = -60, closes: int = 60, status: str = "draft") -> Sale:
    """A sale of these, its window in minutes from now."""
    sale = Sale.objects.create(
        slug=f"rule-{uuid4().hex[:12]}",
        name="Drop",
        opens_at=now() + timedelta(minutes=opens),
        closes_at=now() + timedelta(minutes=closes),
    )
    for variant in variants:
        Listing.objects.create(sale=sale, variant=variant)
    Sale.objects.filter(pk=sale.pk).update(status=status)
    sale.refresh_from_db()
    return sale


def sell(sale: Sale, variant: Variant, units: int) -> None:
    """As settlement does."""
    values: Any = {"sale": sale.pk, "version": 2, "sold": [variant.pk], "units": [units]}
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {stock.SELLING} SELECT", values)


def finish(sale: Sale) -> None:
    Sale.objects.filter(pk=sale.pk).update(status="ended", finished=True)


# --- Variants --------------------------------------------------------------------------------


def test_stock_never_falls_below_zero() -> None:
    variant = a_variant(2)
    sale = a_sale(variant)
    with refused("stock"):
        sell(sale, variant, 3)
    with refused("stock"):
        sql("UPDATE inventory_product SET stock = -1 WHERE id = %s", variant.pk)


def test_the_last_unit_can_be_sold() -> None:
    variant = a_variant(2)
    sell(a_sale(variant), variant, 2)
    end_of_transaction()
    variant.refresh_from_db()
    assert variant.stock == 0


@pytest.mark.parametrize("sku", ["", "-shoe", "a shoe", "shoe|42", "shoe'", "schön", "shoe\n"])
def test_a_sku_is_plain(sku: str) -> None:
    with refused("product_sku_plain"):
        Variant.objects.create(sku=sku, name="Shoe", price=1, currency="EUR")


def test_a_sku_is_unique() -> None:
    with refused("unique"):
        Variant.objects.create(sku=a_variant().sku, name="Shoe", price=1, currency="EUR")


@pytest.mark.parametrize("currency", ["", "eur", "EU", "E1R", "€"])
def test_a_currency_is_a_code_of_three_capitals(currency: str) -> None:
    with refused("product_currency_code"):
        Variant.objects.create(sku=uuid4().hex, name="Shoe", price=1, currency=currency)


def test_a_price_is_not_negative() -> None:
    with refused("price"):
        sql("UPDATE inventory_product SET price = -1 WHERE id = %s", a_variant().pk)


# --- Products --------------------------------------------------------------------------------


def test_a_picture_comes_with_a_text() -> None:
    product = Product.objects.create(name="Shoe")
    with refused("picture_has_text"):
        Picture.objects.create(product=product, file="a.webp", text="")
    with refused("picture_has_file"):
        Picture.objects.create(product=product, text="A shoe")
    Picture.objects.create(product=product, file="a.webp", text="A shoe")


def test_a_slug_is_unique_whatever_its_case() -> None:
    slug = uuid4().hex
    Product.objects.create(name="Shoe", slug=slug)
    with refused("product_slug_once"):
        Product.objects.create(name="Shoe", slug=slug.upper())


@pytest.mark.parametrize("slug", ["a shoe", "a/shoe", "schön", "shoe\n"])
def test_a_slug_is_plain(slug: str) -> None:
    with refused("product_slug_plain"):
        Product.objects.create(name="Shoe", slug=slug)


def test_products_of_one_name_get_slugs_of_their_own() -> None:
    name = f"Größe {uuid4().hex}"
    slugs = [Product.objects.create(name=name).slug for _ in range(3)]
    plain = name.replace("Größe ", "groe-")
    assert slugs == [plain, f"{plain}-2", f"{plain}-3"]
    assert re.fullmatch(r"product(-\d+)?", Product.objects.create(name="靴").slug)


def test_a_variant_has_the_name_of_its_product() -> None:
    product = Product.objects.create(name="Shoe")
    variant = Variant.objects.create(product=product, sku=uuid4().hex, price=1, currency="EUR")
    Product.objects.filter(pk=product.pk).update(name="Boot")
    variant.refresh_from_db()
    assert variant.name == "Boot"
    with refused("belong to its product"):
        Variant.objects.filter(pk=variant.pk).update(name="Hat")
    boots = Product.objects.create(name="Hat")
    Variant.objects.filter(pk=variant.pk).update(product=boots)
    variant.refresh_from_db()
    assert variant.name == "Hat"


# --- The ledger ------------------------------------------------------------------------------


def test_stock_does_not_change_without_a_movement() -> None:
    variant = a_variant(5)
    with refused("the ledger says"):
        sql("UPDATE inventory_product SET stock = stock + 1 WHERE id = %s", variant.pk)


def test_a_variant_does_not_begin_with_stock_from_nowhere() -> None:
    with refused("the ledger says"):
        Variant.objects.create(sku=uuid4().hex, name="Shoe", price=1, currency="EUR", stock=5)


def a_movement(variant: Variant, **values: Any) -> None:
    """A row of the ledger that continues from the last one, unless `values` differ."""
    values = {"delta": 1, "reason": Reason.RECEIVED, **values}
    values.setdefault("balance", variant.stock + values["delta"])
    StockMovement.objects.create(variant=variant, **values)


def test_a_movement_goes_on_where_the_last_one_ended() -> None:
    variant = a_variant(5)
    with refused("5 and 1 make not 7"):
        a_movement(variant, balance=7)


def test_a_movement_alone_is_refused() -> None:
    variant = a_variant(5)
    with refused("the ledger says"):
        a_movement(variant, delta=5, balance=10)
        end_of_transaction()


def test_a_movement_is_not_slipped_in_before_the_last() -> None:
    variant = a_variant(5)
    with refused("does not continue"):
        a_movement(variant, id=-7, delta=5, balance=5)


def test_a_movement_needs_the_stock_to_follow() -> None:
    variant = a_variant(5)
    with refused("the ledger says"):
        a_movement(variant)
        sql("UPDATE inventory_product SET stock = stock + 2 WHERE id = %s", variant.pk)


@pytest.mark.parametrize(
    ("reason", "delta", "wanted"),
    [
        (Reason.RECEIVED, 0, "movement_"),
        (Reason.CORRECTED, -6, "balance"),
        (Reason.RECEIVED, -1, "movement_explained"),
        (Reason.SOLD, -1, "movement_explained"),  # in no sale
        (Reason.CANCELLED, 1, "movement_explained"),  # of no order
        (Reason.CORRECTED, 1, "movement_explained"),  # without a note
        ("stolen", -1, "movement_explained"),
    ],
)
def test_a_movement_is_explained(reason: str, delta: int, wanted: str) -> None:
    variant = a_variant(5)
    with refused(wanted):
        a_movement(variant, delta=delta, reason=reason)


def test_explained_movements_pass() -> None:
    variant = a_variant(5)
    sell(a_sale(variant), variant, 2)
    variant.refresh_from_db()
    stock.move(variant, 1, Reason.CANCELLED, order=uuid4())
    stock.move(variant, -1, Reason.CORRECTED, note="Broken")
    stock.move(variant, 10, Reason.RECEIVED)
    end_of_transaction()
    assert variant.stock == 13


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE inventory_stockmovement SET note = 'never'",
        "DELETE FROM inventory_stockmovement",
        "DELETE FROM inventory_stockmovement WHERE false",
        "TRUNCATE inventory_stockmovement",
    ],
)
def test_the_ledger_is_append_only(statement: str) -> None:
    with refused("append-only"):
        sql(statement)


def test_a_variant_with_a_history_stays() -> None:
    with refused("foreign key"):
        sql("DELETE FROM inventory_product WHERE id = %s", a_variant(1).pk)


# --- Sales -----------------------------------------------------------------------------------


def change(sale: Sale, **values: Any) -> None:
    Sale.objects.filter(pk=sale.pk).update(**values)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"closes_at": F("opens_at")}, "sale_window_in_order"),
        ({"limit": 0}, "sale_limit_positive"),
        ({"limit": 2}, "sale_greatest_limit"),
        ({"status": "open"}, "sale_status_known"),
    ],
)
def test_a_sale_makes_sense(values: dict[str, Any], rule: str) -> None:
    sale = a_sale()
    with refused(rule):
        change(sale, **values)


def test_a_slug_is_unique() -> None:
    one, other = a_sale(), a_sale()
    with refused("unique"):
        change(other, slug=one.slug)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"version": 5}, {"version": 4}),
        ({"status": "live"}, {"status": "draft"}),
        ({"status": "paused"}, {"status": "draft"}),
        ({"status": "ended"}, {"status": "live"}),
        ({"status": "ended"}, {"status": "draft"}),
        ({"status": "ended", "finished": True}, {"finished": False}),
        ({"greatest_limit": 5}, {"greatest_limit": 4}),
    ],
)
def test_a_sale_never_goes_back(before: dict[str, Any], after: dict[str, Any]) -> None:
    sale = a_sale()
    change(sale, **before)
    with refused("cannot go back"):
        change(sale, **after)


def test_a_sale_goes_forward() -> None:
    sale = a_sale()
    change(sale, status="live", version=2)
    change(sale, status="paused", version=3)
    change(sale, status="live", version=4, limit=3, greatest_limit=3)
    change(sale, limit=1, version=5)
    change(sale, status="ended", version=6)
    change(sale, finished=True, version=7)


@pytest.mark.parametrize(
    ("rule", "becomes"), [("ask", "address"), ("payment", "stripe"), ("terms", "Others.")]
)
@pytest.mark.parametrize("status", ["live", "paused", "ended"])
def test_the_checkout_of_a_public_sale_is_fixed(rule: str, becomes: str, status: str) -> None:
    sale = a_sale()
    change(sale, hold_minutes=10, ask="email", payment="demo", terms="Some.")
    statement = f"UPDATE inventory_sale SET {rule} = %s WHERE id = %s"  # noqa: S608  # no input
    sql(statement, becomes, sale.pk)  # a draft's is not
    sql("UPDATE inventory_sale SET status = %s WHERE id = %s", status, sale.pk)
    for other in ("", "email" if rule == "ask" else "x"):
        with pytest.raises(IntegrityError) as refusal, transaction.atomic():
            sql(statement, other, sale.pk)
        assert explain(refusal.value).startswith("The sale is public: what its checkout asks")
    sql("UPDATE inventory_sale SET hold_minutes = 20, price_note = 'x' WHERE id = %s", sale.pk)


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("sale_checkout_needs_hold", {"ask": "email"}),
        ("sale_checkout_needs_hold", {"payment": "demo"}),
        ("sale_checkout_needs_hold", {"terms": "Some."}),
        ("sale_ask_known", {"ask": "phone", "hold_minutes": 10}),
        ("sale_contact_days_sensible", {"contact_days": 3651}),
    ],
)
def test_a_checkout_makes_sense(rule: str, fields: dict[str, Any]) -> None:
    sale = a_sale()
    with refused(rule):
        change(sale, **fields)


# --- Listings --------------------------------------------------------------------------------


def test_a_variant_is_listed_once_in_a_sale() -> None:
    variant = a_variant()
    sale = a_sale(variant)
    with refused("listing_"):
        Listing.objects.create(sale=sale, variant=variant)


def test_a_variant_is_in_one_unfinished_sale() -> None:
    variant = a_variant()
    earlier = a_sale(variant, opens=-60, closes=-30, status="live")
    with refused("listing_in_one_unfinished_sale"):
        a_sale(variant, opens=30, closes=60)
    finish(earlier)
    a_sale(variant, opens=30, closes=60)


def test_the_windows_of_a_variant_never_overlap() -> None:
    variant = a_variant()
    finish(a_sale(variant, opens=-60, closes=60))
    with refused("listing_windows_apart"):
        a_sale(variant, opens=59, closes=90)
    a_sale(variant, opens=60, closes=90)


def test_a_sale_cannot_be_moved_into_another_of_its_variant() -> None:
    variant = a_variant()
    finish(a_sale(variant, opens=-60, closes=60))
    later = a_sale(variant, opens=60, closes=90)
    with refused("listing_windows_apart"):
        change(later, opens_at=now())


def test_a_listing_follows_its_sale() -> None:
    sale = a_sale(a_variant())
    later = now() + timedelta(hours=5)
    change(sale, closes_at=later)
    listing = sale.listings.get()
    assert listing.closes_at == later
    finish(sale)
    listing.refresh_from_db()
    assert listing.finished


def test_a_listing_has_no_window_of_its_own() -> None:
    listing = a_sale(a_variant()).listings.get()
    with refused("listing_follows_sale"):
        sql("UPDATE inventory_listing SET closes_at = now() WHERE id = %s", listing.pk)
    with refused("listing_follows_sale"):
        sql("UPDATE inventory_listing SET finished = true WHERE id = %s", listing.pk)


@pytest.mark.parametrize("status", ["live", "paused", "ended"])
def test_the_variants_of_a_sale_are_fixed_from_its_opening(status: str) -> None:
    sale = a_sale(a_variant(), status=status)
    listing = sale.listings.get()
    other = a_variant()
    with refused("its products are fixed"):
        Listing.objects.create(sale=sale, variant=other)
    with refused("its products are fixed"):
        sql("UPDATE inventory_listing SET product_id = %s WHERE id = %s", other.pk, listing.pk)
    with refused("its products are fixed"):
        sql("DELETE FROM inventory_listing WHERE id = %s", listing.pk)
    with refused("its products are fixed"):
        sql("UPDATE inventory_listing SET sale_id = %s WHERE id = %s", a_sale().pk, listing.pk)


def test_a_variant_does_not_move_into_a_sale_that_has_opened() -> None:
    listing = a_sale(a_variant(), opens=30, closes=60).listings.get()
    opened = a_sale(opens=-30, closes=-10, status="live")
    values = (opened.pk, opened.opens_at, opened.closes_at, listing.pk)
    with refused("its products are fixed"):
        sql(
            "UPDATE inventory_listing SET sale_id = %s, opens_at = %s, closes_at = %s WHERE id = %s",
            *values,
        )


@pytest.mark.parametrize(("opens", "status"), [(-60, "draft"), (30, "live")])
def test_until_then_they_can_change(opens: int, status: str) -> None:
    sale = a_sale(a_variant(), opens=opens, status=status)
    Listing.objects.create(sale=sale, variant=a_variant())
    sql("DELETE FROM inventory_listing WHERE sale_id = %s", sale.pk)


def test_the_order_on_the_page_may_change_at_any_time() -> None:
    sale = a_sale(a_variant(), status="live")
    sale.listings.update(position=7)


# --- Prices ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["live", "paused", "ended"])
@pytest.mark.parametrize("values", [{"price": 1}, {"currency": "USD"}])
def test_a_price_stands_from_the_opening_until_the_sale_is_finished(
    status: str, values: dict[str, Any]
) -> None:
    variant = a_variant()
    sale = a_sale(variant, status=status)
    with refused("its price is frozen"):
        Variant.objects.filter(pk=variant.pk).update(**values)
    finish(sale)
    Variant.objects.filter(pk=variant.pk).update(**values)


@pytest.mark.parametrize(("opens", "status"), [(-60, "draft"), (30, "live")])
def test_until_then_a_price_can_change(opens: int, status: str) -> None:
    variant = a_variant()
    a_sale(variant, opens=opens, status=status)
    Variant.objects.filter(pk=variant.pk).update(price=1)


def test_names_texts_and_unchanged_prices_can_always_be_saved() -> None:
    variant = a_variant()
    a_sale(variant, status="live")
    Product.objects.filter(variants=variant.pk).update(name="Boot", description="New")
    Variant.objects.filter(pk=variant.pk).update(option="42", price=12900)


def test_a_sku_never_changes() -> None:
    variant = a_variant()
    with refused("is fixed"):
        Variant.objects.filter(pk=variant.pk).update(sku=uuid4().hex)


# --- Currencies --------------------------------------------------------------------------------


def in_yen() -> Variant:
    variant = a_variant(1)
    Variant.objects.filter(pk=variant.pk).update(currency="JPY")
    return variant


def test_a_draft_may_mix_currencies_until_it_is_scheduled() -> None:
    sale = a_sale(a_variant(1), in_yen())
    end_of_transaction()
    with refused("several currencies"):
        Sale.objects.filter(pk=sale.pk).update(status="live")


def test_nothing_in_another_currency_joins_a_scheduled_sale() -> None:
    variant = a_variant(1)
    sale = a_sale(variant, opens=10, status="live")
    with refused("several currencies"):
        Listing.objects.create(sale=sale, variant=in_yen())
    Listing.objects.create(sale=sale, variant=a_variant(1))
    with refused("several currencies"):
        Variant.objects.filter(pk=variant.pk).update(currency="JPY")


@pytest.mark.parametrize(
    "after",
    [
        {"draw": "", "draw_at": None},
        {"entrants": "email"},
        {"standby": False},
        {"slug": "another"},  # it is in the published record of the draw
    ],
)
def test_the_entry_of_a_public_sale_is_fixed(after: dict[str, Any]) -> None:
    sale = a_sale()
    change(sale, draw="open", draw_at=sale.closes_at, standby=True)
    change(sale, status="live")
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        change(sale, **after)
    assert explain(refusal.value).startswith(("The sale is public", "Sale "))


def test_a_public_sale_without_a_draw_may_get_standby_and_another_slug() -> None:
    sale = a_sale()
    change(sale, status="live")
    change(sale, standby=True, slug=f"{sale.slug}-2")
