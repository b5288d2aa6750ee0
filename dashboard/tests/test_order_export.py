"""Staff download orders for a spreadsheet: the file of the command, streamed, whole or visibly cut."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from zoneinfo import ZoneInfo

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from conftest import MakeSale
from dashboard.tests.admin_pages import RUN, Staff, listed, page_of
from dashboard.tests.staff import LOOKS, browser_of, employ, session_of
from inventory.models import Sale
from orders import cancellation, settlement
from orders.models import Order
from orders.tests.many_orders import end_exports, exports_in_postgresql, turn_away_very_many
from tests import deadlines, stack
from tests.cast import queue_up
from tests.operators import here
from tests.stack import wait_for

SEE = "orders.view_order"
FAR_FROM_UTC = ("Pacific/Kiritimati", "Pacific/Pago_Pago")  # one has another date, at any hour
LABEL = "Export for a spreadsheet (CSV)"


@pytest.fixture(scope="module")
def web() -> Iterator[stack.Web]:
    with stack.Web.running() as web:
        yield web


@pytest.fixture
def anna(web: stack.Web) -> Iterator[httpx.Client]:
    """A browser of staff who may see orders."""
    headers = {"Cookie": session_of(employ([SEE]))}
    with httpx.Client(base_url=web.url, headers=headers, timeout=deadlines.seconds(30)) as browser:
        yield browser


@pytest.fixture
def sold(make_sale: MakeSale) -> Sale:
    """Two orders, of which one is cancelled."""
    sale = make_sale(stock=3)
    queue_up(sale, 2)
    settlement.settle(sale.pk)
    cancellation.cancel_order(sale.orders.all()[0].pk, by="staff", reason="=asked; for it")
    return sale


@pytest.fixture(scope="module")
def crowded(make_shared_sale: MakeSale) -> Sale:
    return turn_away_very_many(make_shared_sale(closes_in=-30, live=False))


def address(sale: Sale | None = None, status: str = "") -> str:
    given = [f"sale={sale.pk}"] if sale else []
    given += [f"status={status}"] if status else []
    return f"{reverse('admin:orders_order_export')}{'?' if given else ''}{'&'.join(given)}"


def typed(*words: str) -> bytes:
    """What the command writes."""
    return here("orders_export", "--excel", *words).out.encode()


@contextmanager
def downloading(browser: httpx.Client, sale: Sale) -> Iterator[Iterator[bytes]]:
    """A download of which the first bytes have come."""
    for tries_left in reversed(range(10)):
        with browser.stream("GET", address(sale)) as answer:
            if answer.status_code == 503 and tries_left:
                continue  # a busy machine did not begin in time
            assert answer.status_code == 200
            pieces = answer.iter_bytes()
            assert next(pieces).startswith(b"\xef\xbb\xbforder,")
            yield pieces
            return


def exports(number: int) -> None:
    wait_for(lambda: exports_in_postgresql() == number, f"{number} exports in PostgreSQL")


# --- The file ------------------------------------------------------------------------------------


def test_the_file_is_what_the_command_writes_for_a_spreadsheet(
    anna: httpx.Client, sold: Sale
) -> None:
    Sale.objects.filter(pk=sold.pk).update(time_zone="Asia/Kathmandu")
    answer = anna.get(address(sold))
    assert answer.content.startswith(b"\xef\xbb\xbforder,reference,")
    assert answer.content == typed("--sale", sold.slug)
    assert b"'=asked; for it" in answer.content


def test_a_browser_saves_the_file_under_the_sales_name_and_keeps_no_copy(
    anna: httpx.Client, sold: Sale
) -> None:
    days = {zone: timezone.localdate(timezone=ZoneInfo(zone)) for zone in FAR_FROM_UTC}
    zone, today = next(far for far in days.items() if far[1] != timezone.now().date())
    Sale.objects.filter(pk=sold.pk).update(time_zone=zone)
    headers = anna.get(address(sold)).headers
    name = f"orders-{sold.slug}-{today:%Y-%m-%d}.csv"
    assert headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in headers["Cache-Control"]


def test_orders_are_chosen_by_sale_and_status(anna: httpx.Client, sold: Sale) -> None:
    answer = anna.get(address(sold, "cancelled"))
    assert answer.content == typed("--sale", sold.slug, "--status", "cancelled")
    assert answer.content.count(b"\n") == 2
    assert f"orders-{sold.slug}-cancelled-" in answer.headers["Content-Disposition"]


def test_without_a_sale_the_orders_of_all_are_in_the_file(anna: httpx.Client, sold: Sale) -> None:
    assert anna.get(address(None, "cancelled")).content == typed("--status", "cancelled")


@pytest.mark.parametrize("query", ["sale=0", "sale=many", f"sale={'9' * 5000}", "status=sold"])
def test_a_sale_or_a_status_that_there_is_not_is_not_found(anna: httpx.Client, query: str) -> None:
    assert anna.get(f"{address()}?{query}").status_code == 404


# --- The buttons ---------------------------------------------------------------------------------


def buttons(page: str) -> dict[str, str]:
    """The addresses of the links to exports, by their text."""
    links = re.findall(r'<a href="([^"]*/export/[^"]*)">([^<]+)</a>', page)
    return {unescape(words): unescape(to) for to, words in links}


def test_a_sales_page_has_the_button(sold: Sale) -> None:
    staff = Staff.with_permissions(*RUN)
    assert buttons(staff.opens(page_of(sold))) == {LABEL: address(sold)}


def test_a_draft_has_nothing_to_export(make_sale: MakeSale) -> None:
    staff = Staff.with_permissions(*RUN)
    assert not buttons(staff.opens(page_of(make_sale(live=False))))


def test_the_button_of_the_list_says_what_is_exported(sold: Sale) -> None:
    staff, orders = Staff.with_permissions(*RUN), listed(Order)
    for filters, words, exported in (
        ("", "all orders of all sales", address()),
        (f"?sale={sold.pk}", f"all orders of {sold}", address(sold)),
        (
            "?status__exact=confirmed&q=x",
            "all confirmed orders of all sales",
            address(None, "confirmed"),
        ),
        (
            f"?status__exact=rejected&sale={sold.pk}",
            f"all rejected orders of {sold}",
            address(sold, "rejected"),
        ),
    ):
        assert buttons(staff.opens(f"{orders}{filters}")) == {f"{LABEL}: {words}": exported}


def test_the_dashboard_has_the_button_at_each_sale(sold: Sale) -> None:
    page = browser_of(employ([*LOOKS, SEE])).get(reverse("dashboard")).content.decode()
    assert f'<a href="{address(sold)}">{LABEL}</a>' in page


def test_who_may_not_see_orders_sees_no_button(sold: Sale) -> None:
    page = browser_of(employ(LOOKS)).get(reverse("dashboard")).content.decode()
    assert not buttons(page)
    sees_sales = Staff.with_permissions("inventory.view_sale")
    assert not buttons(sees_sales.opens(page_of(sold)))


# --- Who may -------------------------------------------------------------------------------------


def test_a_stranger_is_led_to_the_login() -> None:
    answer = browser_of(None).get(address())
    assert answer.status_code == 302
    assert answer["Location"] == f"/admin/login/?next={address()}"


def customer() -> User:
    return employ([SEE], is_staff=False)


def without_permission() -> User:
    return employ(["inventory.view_sale", "inventory.watch_sales"])


@pytest.mark.parametrize("who", [customer, without_permission])
def test_who_may_not_see_orders_gets_none(sold: Sale, who: type) -> None:
    answer = browser_of(who()).get(address(sold))
    assert answer.status_code == 403
    assert str(sold.orders.all()[0].pk) not in answer.content.decode()


def test_only_a_get_exports(anna: httpx.Client) -> None:
    assert anna.head(address()).status_code == 405


# --- What goes wrong -----------------------------------------------------------------------------


def test_a_browser_that_leaves_ends_the_query(anna: httpx.Client, crowded: Sale) -> None:
    with downloading(anna, crowded):
        exports(1)
    exports(0)


def test_a_file_whose_rest_cannot_be_read_is_cut(anna: httpx.Client, crowded: Sale) -> None:
    with downloading(anna, crowded) as pieces:
        exports(1)
        end_exports()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            for _ in pieces:
                pass


def test_another_export_is_asked_to_wait(anna: httpx.Client, crowded: Sale) -> None:
    with downloading(anna, crowded):
        answer = anna.get(address(crowded))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "Another export is being downloaded" in answer.text
    wait_for(lambda: anna.get(address(status="cancelled")).status_code == 200, "there is a place")


def test_a_table_that_is_locked_is_a_page_in_bounded_time(
    anna: httpx.Client, crowded: Sale
) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE orders_order IN ACCESS EXCLUSIVE MODE")
        answer = anna.get(address(crowded))
        assert exports_in_postgresql() == 0  # none waits in front of others
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.headers["Content-Type"].startswith("text/html")
