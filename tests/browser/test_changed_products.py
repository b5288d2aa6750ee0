"""A product that changes while pages of it are open: nobody is sold what the page does not show."""

from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import Page, expect

from conftest import MakeSale
from dashboard.tests.test_admin_pictures import photograph
from inventory.models import Sale, Variant
from inventory.pictures import reencode
from inventory.products import Product
from orders import sale_lifecycle
from orders.offer_changes import announce_to_pages, check_change, lock_product_for_change
from tests import stack
from tests.browser.conftest import SLOW_PATIENCE, Complaints, OpenPage
from tests.browser.seen import AT_ONCE, address, answer, buy_button, sees_phase, sees_secured
from tests.cast import Shopper

pytestmark = pytest.mark.browser


_OF_PRODUCT = {"name", "description"}


def change(sale: Sale, sku: str = "", picture: Any = None, **fields: Any) -> None:
    """As staff do in admin who have confirmed it. `picture` is added to those of the product."""
    variant = sale.variants.get(sku__startswith=sku)
    with transaction.atomic():
        assert variant.product_id
        on_sale = lock_product_for_change(variant.product_id)
        check_change(fields, on_sale.sales(), confirmed=True)
        product = Product.objects.get(pk=variant.product_id)
        present = on_sale.variants[variant.pk]
        for name, value in fields.items():
            setattr(product if name in _OF_PRODUCT else present, name, value)
        product.save()
        present.save(update_fields=fields.keys() - _OF_PRODUCT)
        if picture:
            product.pictures.create(file=picture, text="A shoe")
        announce_to_pages({*fields, "pictures"} if picture else fields, on_sale.sales())


def part(sale: Sale, sku: str, name: str) -> None:
    """Give a variant a product of its own."""
    variant = sale.variants.get(sku__startswith=sku)
    with transaction.atomic():
        assert variant.product_id
        on_sale = lock_product_for_change(variant.product_id)
        other = Product.objects.create(name=name)
        Variant.objects.filter(pk=variant.pk).update(product=other)
        announce_to_pages({"name"}, on_sale.sales())


def price(page: Page) -> Any:
    return expect(page.locator(".product .price").first)


def stays(page: Page) -> None:
    """Marks the page: a reload would lose the mark."""
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def test_a_page_that_waits_learns_the_new_price_and_buys_at_it(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=600)
    page = open_page(address(shop, sale))
    price(page).to_have_text("€129.00")
    stays(page)
    change(sale, price=2500)
    price(page).to_have_text("€25.00")
    expect(page.locator(".no-answer")).to_contain_text("The price or the product has changed.")
    sale_lifecycle.go_live(sale.pk, by="staff")
    sees_phase(page, "Open")
    buy_button(page).click()
    sees_secured(page)
    assert stayed(page)
    assert sale.orders.get().unit_price == 2500


def test_what_was_chosen_stays_chosen_in_the_fresh_form(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"shoe-42": 5, "shoe-43": 5}, limit=5, opens_in=600)
    page = open_page(address(shop, sale), script=AT_ONCE)
    page.get_by_role("radio", name="shoe-43").check()
    page.get_by_role("spinbutton", name="Quantity").fill("3")
    change(sale, "shoe-42", price=2500)
    price(page).to_have_text("from €25.00")
    expect(page.get_by_role("radio", name="shoe-43")).to_be_checked()
    sale_lifecycle.go_live(sale.pk, by="staff")
    sees_phase(page, "Open")
    buy_button(page).click()
    sees_secured(page)
    order = sale.orders.get()
    assert (order.variant_id, order.quantity) == (
        sale.variants.get(sku__startswith="shoe-43").pk,
        3,
    )


def test_a_click_on_an_old_price_buys_nothing_and_shows_the_new_one(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    """The page is deaf: it has not learned of the change."""
    complaints.expect("409", "^htmx:")
    sale = make_sale(opens_in=600)
    page = open_page(address(shop, sale))
    stays(page)
    page.route(address(shop, sale), lambda route: route.abort())
    complaints.expect("ERR_FAILED")
    change(sale, price=2500)
    sale_lifecycle.go_live(sale.pk, by="staff")
    sees_phase(page, "Open")
    ada = Shopper(shop)
    stack.wait_for(lambda: ada.sale(sale)["products"][0]["price"] == 2500, "the process knows it")
    price(page).to_have_text("€129.00")
    buy_button(page).click()
    expect(page.locator(".answer .outcome[data-status='refused']")).to_contain_text(
        "has changed since"
    )
    price(page).to_have_text("€25.00")
    assert sale.orders.count() == 0
    buy_button(page).click()
    sees_secured(page)
    assert stayed(page)
    assert sale.orders.get().unit_price == 2500


def test_without_javascript_the_page_comes_again_with_the_new_price(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=600)
    page = open_page(address(shop, sale), java_script_enabled=False)
    change(sale, price=2500)
    sale_lifecycle.go_live(sale.pk, by="staff")
    other = open_page(address(shop, sale))  # the process has heard of both
    price(other).to_have_text("€25.00")
    sees_phase(other, "Open")
    buy_button(page).click()
    expect(page.locator("[data-code='changed']")).to_be_visible()
    price(page).to_have_text("€25.00")
    buy_button(page).click()
    sees_secured(page)
    assert sale.orders.get().unit_price == 2500


def test_a_new_text_and_picture_come_to_the_page_of_an_open_sale_and_its_form_stays(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    page = open_page(address(shop, sale), script=AT_ONCE)
    stays(page)
    ticket = page.locator("[name=ticket]").first.input_value()
    picture = reencode(photograph("navy"))
    change(sale, description="It is blue.", picture=picture)
    expect(page.locator(".description")).to_have_text("It is blue.")
    expect(page.get_by_role("img", name="A shoe")).to_be_visible()
    assert page.locator("[name=ticket]").first.input_value() == ticket
    buy_button(page).click()
    sees_secured(page)
    assert stayed(page)


def test_a_page_without_a_socket_learns_it_too(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=600)
    page = open_page(address(shop, sale), script=AT_ONCE)
    page.route_web_socket("**/ws/**", lambda socket: socket.close())
    page.reload()
    change(sale, price=2500)
    expect(page.locator(".product .price").first).to_have_text("€25.00", timeout=SLOW_PATIENCE)


def test_a_product_that_falls_apart_into_two_is_shown_as_two(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    """The page has no place for the other one, and loads again."""
    sale = make_sale(stock={"shoe-42": 5, "shoe-43": 5}, opens_in=600)
    page = open_page(address(shop, sale), script=AT_ONCE)
    expect(page.locator(".product")).to_have_count(1)
    part(sale, "shoe-43", "Boot")
    expect(page.locator(".product")).to_have_count(2)


def test_a_form_that_has_bought_stays_with_its_answer(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale(limit=2)
    page = open_page(address(shop, sale), script=AT_ONCE)
    buy_button(page).click()
    sees_secured(page)
    change(sale, description="It is blue.")
    expect(page.locator(".description")).to_have_text("It is blue.")
    expect(answer(page, "confirmed")).to_be_visible()
