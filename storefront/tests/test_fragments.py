"""Cached pages are rendered again as soon as the sale changes, and hold nothing of one shopper."""

from dataclasses import replace

from django.utils.safestring import mark_safe

from flashsale.http.shoppers import new_shopper
from storefront import fragments
from storefront.catalogue import ProductCard, SaleCard, VariantCard
from storefront.live_sale import LiveSale
from tests.cast import forms

SHOES = ProductCard(1, "Shoe", mark_safe(""), mark_safe(""), ())
SHOE = VariantCard("shoe", "Shoe", "42", 12900, "EUR", 5, 5, SHOES)
BOOT = replace(SHOE, sku="boot", name="Boot", product=replace(SHOES, id=2, name="Boot"))
SALE = SaleCard(7, "drop", "Drop", "live", 0, 2**41, "UTC", 1, 1, False, (SHOE,))


def page(live: LiveSale, code: str = "") -> str:
    return fragments.render_sale_page(live, "en", new_shopper(), code, []).decode()


def test_a_variant_that_joins_a_sale_is_on_its_page_at_once() -> None:
    live = LiveSale(SALE)
    page(live)
    live.card = replace(SALE, variants=(SHOE, BOOT))
    assert [form["product"] for form in forms(page(live))] == ["shoe", "boot"]


def test_a_variant_that_leaves_a_sale_is_off_its_page_at_once() -> None:
    live = LiveSale(replace(SALE, variants=(SHOE, BOOT)))
    page(live)
    live.card = SALE
    assert [form["product"] for form in forms(page(live))] == ["shoe"]


def test_a_sale_that_is_paused_is_shown_as_paused_at_once() -> None:
    live = LiveSale(SALE)
    page(live)
    live.card = replace(SALE, status="paused")
    assert 'data-phase="paused"' in page(live)


def test_one_shoppers_ticket_and_message_are_on_no_other_page() -> None:
    live = LiveSale(SALE)
    first, second = page(live, "sold_out"), page(live)
    assert forms(first)[0]["ticket"] not in second
    assert "data-code" not in second


def test_texts_of_staff_are_escaped_and_cannot_hold_a_placeholder() -> None:
    live = LiveSale(replace(SALE, name="<b>Drop</b> [[x:ticket-0]]"))
    assert "&lt;b&gt;Drop&lt;/b&gt; [[x:ticket-0]]" in page(live)
