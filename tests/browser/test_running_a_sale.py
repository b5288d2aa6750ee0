"""Staff run a sale on the dashboard while a shopper watches its page: two real browsers."""

import re
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from conftest import MakeSale
from dashboard.tests.staff import CORRECTS, LOOKS, browser_of, employ, session_of
from inventory.models import Sale
from tests import stack
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import (
    address,
    buy_button,
    sees_phase,
    sees_secured,
    sees_stock,
)
from tests.cast import Shopper

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
THUMB = 44  # px

OpenDashboard = Callable[..., Page]


def logged_in(user: User) -> dict[str, str]:
    """The cookie of a browser in which this user is logged in."""
    name, _, value = session_of(user).partition("=")
    return {name: value}


@pytest.fixture
def open_dashboard(shop: str, open_page: OpenPage) -> OpenDashboard:
    """Opens the dashboard as staff who may do everything."""

    def open_dashboard(url: str = shop, **options: object) -> Page:
        return open_page(f"{url}/dashboard/", cookies=logged_in(employ(CORRECTS)), **options)

    return open_dashboard


def control(page: Page, sale: Sale, name: str) -> None:
    desk(page, sale).get_by_role("button", name=name, exact=True).click()


def desk(page: Page, sale: Sale) -> Locator:
    return page.locator(f"#sale-{sale.pk}")


def sees_figure(page: Page, sale: Sale, name: str, value: str) -> None:
    expect(desk(page, sale).locator(f".figures [data-figure={name}]")).to_have_text(value)


def sees_result(page: Page, kind: str, words: str) -> None:
    line = page.locator(f".result[data-kind={kind}]:visible")
    expect(line).to_contain_text(words)
    expect(line).to_be_focused()


def test_a_pause_is_seen_by_the_shopper_and_by_other_staff(
    shop: str, open_page: OpenPage, open_dashboard: OpenDashboard, make_sale: MakeSale
) -> None:
    sale = make_sale()
    shopper, staff, colleague = (
        open_page(address(shop, sale)),
        open_dashboard(),
        open_dashboard(),
    )
    control(staff, sale, "Pause")
    sees_result(staff, "done", "is paused")
    sees_phase(shopper, "Paused")
    expect(buy_button(shopper)).to_be_disabled()
    expect(desk(colleague, sale).locator(".figures")).to_have_attribute("data-phase", "paused")
    expect(colleague.locator("#audit li").first).to_contain_text(f"paused {sale.slug}")
    assert Shopper(shop).buy(sale).json() == {"status": "refused", "reason": "paused"}
    control(colleague, sale, "Resume")
    sees_phase(shopper, "Open")
    buy_button(shopper).click()
    sees_secured(shopper)
    sees_figure(staff, sale, "confirmed", "1")


def test_a_restock_makes_a_sold_out_page_buyable_again(
    shop: str, open_page: OpenPage, open_dashboard: OpenDashboard, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=0)
    variant = sale.variants.get()
    shopper, staff = open_page(address(shop, sale)), open_dashboard()
    sees_stock(shopper, "Sold out")
    form = staff.locator(f"#product-{sale.pk}-{variant.pk} form.restock")
    form.locator("[name=units]").fill("2")
    form.get_by_role("button").dblclick()
    sees_result(staff, "done", "has grown by 2")
    sees_stock(shopper, "2 left")
    expect(staff.locator(f"#units-{sale.pk}-{variant.pk} [data-figure=stock]")).to_have_text("2")
    buy_button(shopper).click()
    sees_secured(shopper)
    expect(form.locator("[name=units]")).to_have_value("")
    form.locator("[name=units]").fill("3")  # a second delivery, on the same page
    form.get_by_role("button").click()
    expect(staff.locator(f"#units-{sale.pk}-{variant.pk} [data-figure=stock]")).to_have_text("4")


def test_controls_rest_where_others_have_come_to_stand_under_the_finger(
    open_dashboard: OpenDashboard, make_sale: MakeSale
) -> None:
    sale, staff = make_sale(), open_dashboard()
    controls = desk(staff, sale).locator("header .controls")
    staff.evaluate(
        "new MutationObserver(() =>"
        " document.querySelector('header .controls[inert]') && (document.title = 'rested'))"
        ".observe(document.body, { subtree: true, attributeFilter: ['inert'] })"
    )
    control(staff, sale, "Pause")
    expect(staff).to_have_title("rested")
    expect(controls).not_to_have_attribute("inert", "")
    control(staff, sale, "Resume")
    sees_result(staff, "done", "goes on")


def test_opening_now_asks_first(open_dashboard: OpenDashboard, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    staff = open_dashboard()
    expect(desk(staff, sale).get_by_role("button", name="Open it now")).to_be_hidden()
    desk(staff, sale).get_by_text("Open now…").click()
    control(staff, sale, "Open it now")
    sees_result(staff, "done", "is open")


def test_an_odd_price_is_asked_about_in_place(
    open_dashboard: OpenDashboard, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 409")
    sale = make_sale(opens_in=3600, closes_in=7200, live=False)
    sale.variants.update(price=0)
    staff = open_dashboard()
    control(staff, sale, "Schedule")
    sees_result(staff, "asked", "costs nothing.")
    control(staff, sale, "Schedule all the same")
    sees_result(staff, "done", "is scheduled")


def test_what_was_refused_may_be_mended_where_it_was_typed(
    open_dashboard: OpenDashboard, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 409")
    sale, staff = make_sale(stock=3), open_dashboard()
    good = desk(staff, sale).locator(".good")
    good.get_by_text("Correct…").click()
    form = good.locator("form.correct")
    form.locator("[name=units]").fill("-30")
    form.locator("[name=reason]").fill("broken")
    form.get_by_role("button").click()
    sees_result(staff, "refused", "Only 3 units")
    expect(form.locator("[name=units]")).to_have_value("-30")
    form.locator("[name=units]").fill("-3")
    form.get_by_role("button").click()
    sees_result(staff, "done", "corrected by -3")


def test_an_end_asks_first_and_is_final(open_dashboard: OpenDashboard, make_sale: MakeSale) -> None:
    sale, staff = make_sale(), open_dashboard()
    desk(staff, sale).get_by_text("End…").click()
    desk(staff, sale).locator(".control.end [name=reason]").fill("all is sold")
    control(staff, sale, "End it for good")
    sees_result(staff, "done", "has ended")
    expect(desk(staff, sale).get_by_role("button", name="Resume")).to_be_hidden()
    expect(staff.locator("#audit")).to_contain_text("all is sold")


def test_what_is_not_possible_is_said_where_it_was_asked(
    open_dashboard: OpenDashboard, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 409")
    sale, staff = make_sale(), open_dashboard()
    desk(staff, sale).get_by_text("Limit…").click()
    desk(staff, sale).locator("[name=limit]").fill("7")
    desk(staff, sale).locator(".control.limit").get_by_role("button").click()
    sees_result(staff, "done", "at most 7 units per shopper")
    expect(desk(staff, sale).locator(".figures .limit")).to_have_text("at most 7 per shopper")
    browser_of(employ(CORRECTS)).post(f"/dashboard/sales/{sale.pk}/end/")
    staff.evaluate("document.querySelector('.control.pause').style.display = 'block'")
    control(staff, sale, "Pause")
    staff.locator(".result[data-kind=refused]").get_by_text("The sale has ended.").wait_for()


def test_a_sale_that_is_made_appears_and_nobodys_typing_is_lost(
    open_dashboard: OpenDashboard, make_sale: MakeSale
) -> None:
    first = make_sale()
    Sale.objects.filter(pk=first.pk).update(closes_at="2099-12-01T18:00:00Z")
    staff = open_dashboard()
    typed = staff.locator(
        f"#product-{first.pk}-{first.variants.get().pk} form.restock [name=units]"
    )
    typed.fill("12")
    second = make_sale()
    expect(staff.locator("#lineup")).to_have_attribute(
        "data-sales", re.compile(rf"\b{second.pk}\b")
    )
    expect(typed).to_have_value("12")
    typed.blur()
    expect(staff.locator(".lineup-changed")).to_be_visible()
    expect(desk(staff, second)).to_have_count(0)
    typed.fill("")
    typed.blur()
    expect(desk(staff, second)).to_be_visible()


def test_charts_and_the_table_show_what_was_clicked(
    shop: str, open_dashboard: OpenDashboard, make_sale: MakeSale
) -> None:
    sale, staff = make_sale(), open_dashboard()
    Shopper(shop).buy(sale)
    expect(staff.locator(".plot canvas")).to_have_count(3)
    staff.get_by_text("The same as a table").click()
    expect(staff.locator("#minutes tbody tr").first).to_be_visible()
    expect(staff.locator("#minutes")).to_contain_text("sold out")
    expect(staff.locator("[data-figure=confirm]")).to_contain_text("ms")


def test_who_logs_out_in_another_tab_is_told_and_hears_no_more(
    shop: str, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 403", "WebSocket connection to .* failed", "object Event")
    sale, anna = make_sale(), employ(LOOKS)
    page = open_page(f"{shop}/dashboard/", cookies=logged_in(anna))
    expect(desk(page, sale)).to_be_visible()
    another_tab = page.context.new_page()
    another_tab.goto(f"{shop}/dashboard/")
    another_tab.get_by_role("button", name="Log out").click()
    expect(page.locator(".signed-out")).to_be_visible()
    expect(page.locator(".dashboard")).to_have_class(re.compile("stale"))


@pytest.fixture
def web_to_be_killed() -> Iterator[stack.Web]:
    with stack.Web.running() as web:
        yield web


@pytest.mark.deep
def test_a_lost_socket_is_shown_and_comes_back(
    open_dashboard: OpenDashboard,
    make_sale: MakeSale,
    web_to_be_killed: stack.Web,
    complaints: Complaints,
) -> None:
    # Between two answers, or in one.
    cut = ("ERR_CONNECTION", "ERR_CONTENT_LENGTH_MISMATCH", "Failed to fetch")
    complaints.expect(*cut, "WebSocket connection to .* failed", "object Event", "^htmx:")
    sale, staff = make_sale(stock=3), open_dashboard(web_to_be_killed.url)
    sees_figure(staff, sale, "left", "3")
    web_to_be_killed.kill()
    expect(staff.locator(".connection")).to_be_visible()
    expect(staff.locator(".dashboard")).to_have_class(re.compile("stale"))
    web_to_be_killed.start()
    expect(staff.locator(".connection")).to_be_hidden()
    expect(staff.locator(".dashboard")).not_to_have_class(re.compile("stale"))


def test_on_a_phone_nothing_scrolls_sideways_and_a_thumb_hits_every_control(
    open_dashboard: OpenDashboard, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={f"shoe-with-a-rather-long-name-{uuid4().hex[:6]}": 3})
    Sale.objects.filter(pk=sale.pk).update(name="Donaudampfschifffahrtsgesellschaft" * 3)
    staff = open_dashboard(**PHONE)
    expect(desk(staff, sale)).to_be_visible()
    for summary in desk(staff, sale).locator("summary").all():
        if summary.is_visible():
            summary.click()
    assert staff.evaluate("document.documentElement.scrollWidth") <= 360
    small = staff.evaluate(
        """(least) => [...document.querySelectorAll(
            ".dashboard :is(button, summary, input:not([type=hidden]), header a)")]
            .filter((control) => control.offsetParent)
            .filter((control) => control.getBoundingClientRect().height < least)
            .map((control) => control.outerHTML)""",
        THUMB,
    )
    assert small == []


def test_without_javascript_a_sale_is_paused(
    open_dashboard: OpenDashboard, make_sale: MakeSale
) -> None:
    sale, staff = make_sale(), open_dashboard(java_script_enabled=False)
    control(staff, sale, "Pause")
    expect(staff.locator(".dashboard > .notice[role=status]")).to_contain_text("is paused")
    expect(desk(staff, sale).get_by_role("button", name="Resume")).to_be_visible()
    sale.refresh_from_db()
    assert sale.status == "paused"
