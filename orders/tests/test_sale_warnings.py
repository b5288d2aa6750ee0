"""What staff are asked about before a sale is scheduled or opened."""

from datetime import UTC, datetime

import pytest
from pytest_django import Settings

from conftest import MakeSale
from inventory.models import Sale, Variant
from orders.sale_warnings import digest_of, list_warnings
from tests.cast import stocked


@pytest.fixture
def draft(make_sale: MakeSale) -> Sale:
    return make_sale(stock={"shoe": 1, "bag": 1}, live=False)


def reprice(sale: Sale, *prices: int, currency: str = "EUR") -> list[str]:
    """Sets the prices of the sale's variants. Gives the warnings."""
    listings = sale.listings.order_by("position", "id")
    for listing, price in zip(listings, prices, strict=True):
        Variant.objects.filter(pk=listing.variant_id).update(price=price, currency=currency)
    return list_warnings(sale)


@pytest.mark.parametrize(
    ("prices", "currency"),
    [
        ((12900, 14900), "EUR"),
        ((100, 999), "EUR"),
        ((1_000_000, 1_000_000), "EUR"),
        ((12900, 12900), "JPY"),
        ((1_000, 9_999), "KWD"),
    ],
)
def test_usual_prices_are_not_asked_about(
    draft: Sale, prices: tuple[int, int], currency: str
) -> None:
    assert reprice(draft, *prices, currency=currency) == []


@pytest.mark.parametrize(
    ("options", "same_product", "asked"),
    [
        (("M", "m"), True, True),
        (("M", "L"), True, False),
        (("M", "M"), False, False),
        (("", ""), True, False),  # pages show their skus
    ],
)
def test_options_that_look_alike_are_asked_about(
    draft: Sale, options: tuple[str, str], same_product: bool, asked: bool
) -> None:
    first, second = (listing.variant for listing in draft.listings.order_by("position", "id"))
    Variant.objects.filter(pk=first.pk).update(option=options[0])
    product = first.product if same_product else second.product
    Variant.objects.filter(pk=second.pk).update(option=options[1], product=product)
    said = [words for words in list_warnings(draft) if "tell these options apart" in words]
    assert len(said) == asked
    assert not said or (first.sku in said[0] and second.sku in said[0])


@pytest.mark.parametrize(
    ("prices", "currency", "said"),
    [
        ((0, 12900), "EUR", "costs nothing."),
        ((99, 100), "EUR", "costs €0.99, less than €1.00."),
        ((999, 1_000), "KWD", "costs KWD\xa00.999, less than KWD\xa01.000."),
        ((99, 100), "JPY", "costs ¥99, less than ¥100."),
        ((1_000_001, 1_000_000), "EUR", "costs €10,000.01, more than €10,000.00."),
        ((12900, 12900), "XAU", "has a price in XAU, which is no currency of ISO 4217."),
    ],
)
def test_an_odd_price_is_named(
    draft: Sale, prices: tuple[int, int], currency: str, said: str
) -> None:
    warnings = reprice(draft, *prices, currency=currency)
    first = draft.listings.order_by("position", "id")[0].variant
    assert f"{first} ({first.sku}) {said}" in warnings


def test_a_price_ten_times_another_of_the_sale_is_named(draft: Sale) -> None:
    [warning] = reprice(draft, 1490, 14900)
    assert "costs €149.00, 10 times as much as" in warning
    assert reprice(draft, 1491, 14900) == []


def test_several_currencies_are_named(draft: Sale) -> None:
    reprice(draft, 12900, 12900)
    Variant.objects.filter(listings__sale=draft, sku__startswith="bag").update(currency="USD")
    assert list_warnings(draft) == ["The prices are in several currencies: EUR, USD."]


SENSIBLE = {"hold_minutes": 10, "ask": "address", "payment": "demo", "terms": "Some."}


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({}, []),
        ({"payment": "", "terms": ""}, []),
        ({"ask": "email"}, []),
        ({"ask": ""}, ["asks for no e-mail and no address"]),
        ({"ask": "", "payment": "", "terms": ""}, ["asks for no e-mail and no address"]),
        ({"terms": ""}, ["without terms"]),
        ({"payment": "elsewhere"}, ["elsewhere is not configured"]),
    ],
)
def test_an_odd_checkout_is_asked_about(odd: dict[str, str], said: list[str], draft: Sale) -> None:
    Sale.objects.filter(pk=draft.pk).update(**SENSIBLE | odd)
    draft.refresh_from_db()
    warnings = list_warnings(draft)
    assert len(warnings) == len(said)
    for words, warning in zip(said, warnings, strict=True):
        assert words in warning


def test_a_price_of_nothing_is_odd_where_shoppers_pay(draft: Sale) -> None:
    Sale.objects.filter(pk=draft.pk).update(**SENSIBLE)
    draft.refresh_from_db()
    assert "Shoppers are to pay, but not every product has a price." in reprice(draft, 0, 12900)


def test_money_that_nobody_takes_is_odd_in_production_only(draft: Sale, settings: Settings) -> None:
    Sale.objects.filter(pk=draft.pk).update(**SENSIBLE)
    draft.refresh_from_db()
    assert list_warnings(draft) == []
    settings.PRODUCTION = True
    assert list_warnings(draft) == ["The payment provider is demo, which takes no money."]


def test_a_variant_that_was_in_another_sale_is_named_once(draft: Sale) -> None:
    over = Sale.objects.create(
        slug=f"over-{draft.slug}",
        name="Over",
        opens_at=datetime(2001, 1, 1, tzinfo=UTC),
        closes_at=datetime(2001, 1, 2, tzinfo=UTC),
    )
    variant = stocked(f"again-{draft.slug}", 1)
    over.listings.create(variant=variant)
    Sale.objects.filter(pk=over.pk).update(status="ended", finished=True)
    draft.listings.create(variant=variant)
    Variant.objects.filter(pk=variant.pk).update(price=0)
    assert list_warnings(draft) == [f"{variant} ({variant.sku}) costs nothing."]


def test_what_was_accepted_names_the_sale_and_the_warnings(
    draft: Sale, make_sale: MakeSale
) -> None:
    accepted = digest_of(draft, ["Shoe costs nothing."])
    assert accepted == digest_of(draft, ["Shoe costs nothing."])
    assert accepted != digest_of(draft, ["Shoe costs nothing.", "Bag costs nothing."])
    assert accepted != digest_of(make_sale(live=False), ["Shoe costs nothing."])
