"""What the pages made from a card show, as digests: any change tells them apart."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from django.utils.safestring import mark_safe

from inventory.gate.entries import CHANGED
from inventory.shown import FIELDS, digest_of
from storefront.catalogue import PictureCard, ProductCard, SaleCard, VariantCard

SIDE = PictureCard("/a.webp", "A shoe", 1000, 500, "/a-480.webp 480w", "/a-480.webp")
SHOES = ProductCard(1, "Shoe", mark_safe("Light."), mark_safe("Wide."), (SIDE,))
SHOE = VariantCard("shoe-42", "Shoe", "42", 12900, "EUR", 5, 5, SHOES)
LARGE = replace(SHOE, sku="shoe-43", option="43")
BOOTS = replace(SHOES, id=2, name="Boot")
BOOT = replace(SHOE, sku="boot", name="Boot", option="", product=BOOTS)


def card(*variants: VariantCard) -> SaleCard:
    return SaleCard(7, "drop", "Drop", "live", 0, 2**41, "UTC", 1, 1, False, variants)


NOW = card(SHOE, LARGE, BOOT)
OTHER: dict[str, Any] = {
    "sku": "shoe",
    "name": "Shoes",
    "option": "4",
    "price": 1290,
    "currency": "EUX",
}


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_that_a_form_shows_is_in_the_digest(field: str) -> None:
    other: dict[str, Any] = {field: OTHER[field]}
    assert digest_of(replace(SHOE, **other)) != digest_of(SHOE)


def test_no_two_fields_run_into_each_other() -> None:
    """What one field loses the next one gains."""
    variants = [
        replace(SHOE, name="Shoe 4", option="2"),
        replace(SHOE, name="Shoe ", option="42"),
        replace(SHOE, name="Shoe 42", option=""),
        replace(SHOE, option="4", price=212900),
    ]
    for one, other in combinations(map(digest_of, variants), 2):
        assert one != other


@pytest.mark.parametrize("variant", [SHOE, LARGE, BOOT])
def test_a_click_from_its_own_form_or_from_a_program_carries_the_variants_digest(
    variant: VariantCard,
) -> None:
    for ticket in NOW.shown.form_of(variant.sku), NOW.shown.sale:
        assert NOW.shown.at_click(variant.sku, ticket) == digest_of(variant).hex()


@pytest.mark.parametrize("ticket", [b"", b"\0" * 8, NOW.shown.form_of("boot")])
def test_a_click_from_anything_else_is_from_before_a_change(ticket: bytes) -> None:
    assert NOW.shown.at_click("shoe-42", ticket) == CHANGED


@pytest.mark.parametrize("ticket", [b"", NOW.shown.sale])
def test_a_click_on_what_the_card_does_not_know_is_from_after_one(ticket: bytes) -> None:
    """The gate refuses it, or knows more than this process."""
    assert NOW.shown.at_click("new", ticket) == CHANGED


BACK = replace(SIDE, url="/b.webp")
OTHER_SIDES = [
    BACK,
    replace(SIDE, text="A boot"),
    replace(SIDE, widths=""),
    replace(SIDE, smallest="/a.webp"),
]


@pytest.mark.parametrize(
    "other",
    [
        {"description": mark_safe("Heavy.")},
        {"size_guide": mark_safe("Narrow.")},
        {"pictures": ()},
        {"pictures": (SIDE, BACK)},
        *({"pictures": (side,)} for side in OTHER_SIDES),
    ],
    ids=repr,
)
def test_texts_and_pictures_are_in_the_look_only(other: dict[str, Any]) -> None:
    shoes = replace(SHOES, **other)
    after = card(replace(SHOE, product=shoes), replace(LARGE, product=shoes), BOOT)
    assert after.shown.look != NOW.shown.look
    assert after.shown.sale == NOW.shown.sale


def test_the_order_of_pictures_is_in_the_look() -> None:
    looks = {
        card(replace(SHOE, product=replace(SHOES, pictures=pictures))).shown.look
        for pictures in ((SIDE, BACK), (BACK, SIDE))
    }
    assert len(looks) == 2


def test_stock_changes_nothing_that_is_compared() -> None:
    assert card(replace(SHOE, stock=1, offered=9), LARGE, BOOT).shown == NOW.shown


def test_a_price_is_in_the_look_too() -> None:
    assert card(replace(SHOE, price=1), LARGE, BOOT).shown.look != NOW.shown.look
