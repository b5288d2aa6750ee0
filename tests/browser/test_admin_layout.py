"""The staff's pages fit a small phone, obey the content policy, and need no mouse."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from conftest import MakeSale
from dashboard.tests.admin_pages import CORRECT, RUN, WRITE, Staff, asking, listed, page_of
from inventory.models import Sale, StockMovement, Variant
from inventory.products import Product
from orders import cancellation, settlement
from orders.models import AuditEntry, Order
from tests.browser.conftest import OpenPage
from tests.cast import queue_up, stocked

pytestmark = pytest.mark.browser

LONG_WORD = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}

LISTS = (Sale, Product, Variant, Order, StockMovement, AuditEntry)


def logged_in(open_page: OpenPage, address: str, staff: Staff, **options: object) -> Page:
    """Opens the address in a browser in which this user is logged in."""
    session = staff.browser.cookies["sessionid"].value
    return open_page(address, cookies={"sessionid": session}, **options)


def fits(page: Page) -> None:
    """Nothing is wider than the phone but what scrolls in its place."""
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths == [360, 360], page.url
    cut_off = page.evaluate(
        "[...document.querySelectorAll('.results, .inline-group')].filter((box) =>"
        " box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== 'auto').length"
    )
    assert cut_off == 0, page.url


def test_no_page_is_cut_off_on_a_phone(shop: str, open_page: OpenPage, make_sale: MakeSale) -> None:
    sale = make_sale(stock={"Donaudampfschifffahrtsgesellschaft": 3})
    draft = make_sale(live=False)
    queue_up(sale, 2)
    settlement.settle(sale.pk)
    Sale.objects.filter(pk__in=[sale.pk, draft.pk]).update(name=LONG_WORD)
    variant, [order, *_] = sale.variants.get(), sale.orders.all()
    cancellation.cancel_order(order.pk, by="anna", reason=LONG_WORD)
    anna = Staff.with_permissions(*RUN, *WRITE, CORRECT)
    fits(open_page(f"{shop}/admin/login/", **PHONE))
    page = logged_in(open_page, f"{shop}/admin/", anna, **PHONE)
    fits(page)
    for address in (
        *("/admin/password_change/", *map(listed, LISTS)),
        *(f"{listed(Sale)}add/", f"{listed(Product)}add/", f"{listed(Sale)}{draft.pk}/delete/"),
        *map(page_of, (sale, draft, variant, order, sale.audit.all()[0])),
        *(asking("window", sale), asking("correct", variant), asking("cancel", order)),
    ):
        page.goto(shop + address)
        fits(page)


def test_the_rows_of_a_product_are_blocks_on_a_phone(shop: str, open_page: OpenPage) -> None:
    product = stocked("Donaudampfschifffahrtskapitaensmuetzen", 3).product
    assert product
    anna = Staff.with_permissions(*WRITE, CORRECT)
    page = logged_in(open_page, shop + page_of(product), anna, **PHONE)
    fits(page)
    too_wide = "tables => tables.filter((table) => table.scrollWidth > table.clientWidth).length"
    assert page.locator(".inline-group .tabular").evaluate_all(too_wide) == 0
    fields = page.locator("#variants-0").locator(
        "input:not([type=hidden], [type=checkbox]), select"
    )
    heights = "fields => fields.map((field) => Math.round(field.getBoundingClientRect().height))"
    assert min(fields.evaluate_all(heights)) >= 44
    assert fields.count() == 7
    for said in ("Price", "Add units", "Reason"):
        expect(page.locator("#variants-0").get_by_label(said, exact=True)).to_be_visible()


def test_a_sale_is_paused_without_a_mouse(
    shop: str, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = make_sale()
    anna = Staff.with_permissions(*RUN)
    page = logged_in(open_page, shop + page_of(sale), anna)
    page.get_by_role("link", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Every click is refused from now on.")).to_be_visible()
    page.get_by_label("Reason").focus()
    page.keyboard.type("wrong picture")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{sale} is paused.")).to_be_visible()


def test_a_draft_is_written_with_what_the_browser_offers(shop: str, open_page: OpenPage) -> None:
    """The scripts of admin itself, under a policy that forbids inline ones."""
    product = Product.objects.create(name="Layout vase")
    variant = stocked("layout-vase", 1, product)
    anna = Staff.with_permissions(*RUN, *WRITE)
    page = logged_in(open_page, f"{shop}{listed(Sale)}add/", anna)
    page.get_by_label("Name").press_sequentially("Vases for all")
    expect(page.get_by_label("Slug")).to_have_value("vases-for-all")
    for moment, date in (("opens_at", "2100-01-01"), ("closes_at", "2100-01-02")):
        page.locator(f"#id_{moment}_0").fill(date)
        page.locator(f"#id_{moment}_1").fill("18:00")
    page.locator(".field-time_zone .select2-selection").click()
    page.locator(".select2-dropdown .select2-search__field").fill("st john")
    page.get_by_role("option", name="America/St_Johns", exact=True).click()
    page.locator(".field-products .select2-search__field").press_sequentially("layout")
    page.get_by_role("option", name=str(product), exact=True).click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    sale = Sale.objects.get(slug="vases-for-all")
    assert sale.variants.get() == variant
    assert sale.opens_at == datetime(2100, 1, 1, 21, 30, tzinfo=UTC)


def test_a_draft_is_written_without_scripts(shop: str, open_page: OpenPage) -> None:
    anna = Staff.with_permissions(*RUN, *WRITE)
    page = logged_in(open_page, f"{shop}{listed(Sale)}add/", anna, java_script_enabled=False)
    page.get_by_label("Name").fill("Plain")
    page.get_by_label("Slug").fill("without-scripts")
    page.get_by_label("Time zone").select_option("Asia/Kathmandu")
    for moment in ("opens_at", "closes_at"):
        page.locator(f"#id_{moment}_0").fill("2100-01-01")
        page.locator(f"#id_{moment}_1").fill("18:00" if moment == "opens_at" else "20:00")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    sale = Sale.objects.get(slug="without-scripts")
    assert sale.opens_at == datetime(2100, 1, 1, 12, 15, tzinfo=UTC)
