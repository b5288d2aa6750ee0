"""The controls of the dashboard: each change of staff is made once, and its result is shown to them."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.messages import get_messages
from django.db import DatabaseError
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conftest import MakeSale
from dashboard.tests.staff import CORRECTS, browser_of, employ
from inventory.models import Sale
from orders import sale_lifecycle, stock_changes
from orders.models import AuditEntry
from tests.cast import click

HTMX = {"HX-Request": "true"}
SALE = 1  # whose desk shows the variant: it only names the line of the result


@pytest.fixture
def browser() -> Client:
    return browser_of(employ(CORRECTS))


def send(browser: Client, sale: Sale, control: str, **fields: object) -> HttpResponse:
    url = reverse("change-sale", args=[sale.pk, control])
    return browser.post(url, fields, headers=HTMX)  # type: ignore[return-value]  # the client's own kind


def said(answer: HttpResponse) -> tuple[int, str]:
    """Its status, and the kind of the result."""
    found = re.search(r'data-kind="(\w+)"', answer.content.decode())
    assert found
    return answer.status_code, found[1]


def test_a_sale_is_paused_resumed_and_ended(browser: Client, make_sale: MakeSale) -> None:
    sale = make_sale()
    for control, then in (("pause", "paused"), ("resume", ""), ("end", "closed")):
        assert said(send(browser, sale, control, reason="a test")) == (200, "done")
        assert click(sale).reason == then
    assert [entry.action for entry in sale.audit.all()[:3]] == ["ended", "resumed", "paused"]
    assert {entry.reason for entry in sale.audit.all()[:3]} == {"a test"}


def test_the_audit_names_who_was_logged_in(make_sale: MakeSale) -> None:
    sale, anna = make_sale(), employ(CORRECTS)
    send(browser_of(anna), sale, "pause")
    entry = sale.audit.first()
    assert entry
    assert entry.actor == anna.username


def test_an_upcoming_sale_is_opened_now(browser: Client, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    assert said(send(browser, sale, "open")) == (200, "done")
    assert click(sale).code == "queued"


def test_what_is_not_possible_is_said(browser: Client, make_sale: MakeSale) -> None:
    answer = send(browser, make_sale(), "resume")
    assert said(answer) == (409, "refused")
    assert "The sale is live." in answer.content.decode()


def test_a_hold_becomes_longer_and_never_shorter(browser: Client, make_sale: MakeSale) -> None:
    sale = make_sale(hold=10)
    assert said(send(browser, sale, "hold", minutes=15)) == (200, "done")
    for minutes in ("14", "0", "-1", "", "10081"):
        assert said(send(browser, sale, "hold", minutes=minutes)) == (409, "refused")
    sale.refresh_from_db()
    assert sale.hold_minutes == 15


def test_a_sale_that_sells_at_once_goes_on_so(browser: Client, make_sale: MakeSale) -> None:
    sale = make_sale()
    assert said(send(browser, sale, "hold", minutes=15)) == (409, "refused")
    page = browser.get("/dashboard/").content.decode()
    assert f"/sale/{sale.pk}/hold" not in page


@pytest.mark.parametrize("limit", ["", "0", "-1", "2.5", "many", "99999999999999999999"])
def test_a_limit_that_is_none_is_refused(browser: Client, make_sale: MakeSale, limit: str) -> None:
    sale = make_sale(limit=3)
    assert said(send(browser, sale, "limit", limit=limit)) == (409, "refused")
    sale.refresh_from_db()
    assert sale.limit == 3


def test_a_window_is_read_in_the_time_zone_of_its_sale(
    browser: Client, make_sale: MakeSale
) -> None:
    sale = make_sale(closes_in=2 * 86400)
    Sale.objects.filter(pk=sale.pk).update(time_zone="Asia/Tokyo")
    day = (timezone.now() + timedelta(days=1)).date()
    assert said(send(browser, sale, "window", closes_at=f"{day}T21:00:30")) == (200, "done")
    sale.refresh_from_db()
    assert sale.closes_at.isoformat() == f"{day}T12:00:30+00:00"


def test_a_form_that_is_sent_back_unchanged_changes_nothing(
    browser: Client, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=600)
    sale_lifecycle.go_live(sale.pk, by="staff")  # its opening is written to the millisecond now
    page = browser.get(reverse("dashboard")).content.decode()
    form = page[page.index(f"/dashboard/sales/{sale.pk}/window/") :]
    fields = dict(re.findall(r'name="([a-z-]*(?:opens|closes)_at)" value="([^"]+)"', form)[:4])
    assert len(fields) == 4
    answer = send(browser, sale, "window", **fields)
    assert said(answer) == (409, "refused")
    assert "Neither" in answer.content.decode()
    later = f"{timezone.now() + timedelta(hours=3):%Y-%m-%dT%H:%M}"
    assert said(send(browser, sale, "window", **{**fields, "closes_at": later})) == (200, "done")


def test_units_come_in_once_however_often_the_form_is_sent(
    browser: Client, make_sale: MakeSale
) -> None:
    variant = make_sale(stock=1).variants.get()
    url, form = (
        reverse("change-variant", args=[SALE, variant.pk, "restock"]),
        {"units": 4, "key": uuid4()},
    )
    first, second = (browser.post(url, form, headers=HTMX) for _ in range(2))
    variant.refresh_from_db()
    assert variant.stock == 5
    assert "has grown by 4" in first.content.decode()
    assert "before" in second.content.decode()
    fresh = re.search(r'name="key" value="([0-9a-f-]+)"', first.content.decode())
    assert fresh
    assert UUID(fresh[1]) != form["key"]


@pytest.mark.parametrize("units", ["0", "-5", "1.5", "x", "", "100000000000"])
def test_only_whole_units_come_in(browser: Client, make_sale: MakeSale, units: str) -> None:
    variant = make_sale(stock=1).variants.get()
    url = reverse("change-variant", args=[SALE, variant.pk, "restock"])
    answer = browser.post(url, {"units": units, "key": uuid4()}, headers=HTMX)
    assert answer.status_code == 409
    variant.refresh_from_db()
    assert variant.stock == 1


def test_a_correction_without_a_reason_is_refused(browser: Client, make_sale: MakeSale) -> None:
    variant = make_sale(stock=5).variants.get()
    url = reverse("change-variant", args=[SALE, variant.pk, "correct"])
    refused = browser.post(url, {"units": -1, "key": uuid4(), "reason": " "}, headers=HTMX)
    assert refused.status_code == 409
    done = browser.post(url, {"units": -1, "key": uuid4(), "reason": "broken"}, headers=HTMX)
    assert done.status_code == 200
    variant.refresh_from_db()
    assert variant.stock == 4


def test_without_javascript_the_page_comes_back_with_the_result(
    browser: Client, make_sale: MakeSale
) -> None:
    sale = make_sale()
    answer = browser.post(reverse("change-sale", args=[sale.pk, "pause"]))
    assert (answer.status_code, answer["Location"]) == (302, f"/dashboard/#sale-{sale.pk}")
    [told] = get_messages(answer.wsgi_request)
    assert "is paused" in str(told)


def test_a_change_that_postgresql_does_not_answer_is_not_called_done(
    browser: Client, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise DatabaseError("the connection was lost at COMMIT")

    sale = make_sale()
    monkeypatch.setattr(sale_lifecycle, "change_sales", lost)
    answer = send(browser, sale, "pause")
    assert said(answer) == (503, "unsure")


def test_a_form_of_which_nobody_knows_whether_it_was_done_keeps_its_key(
    browser: Client, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again it is done once; with a fresh key it might be done twice."""

    def lost(*_: object, **__: object) -> None:
        raise DatabaseError("the connection was lost at COMMIT")

    url = reverse("change-variant", args=[SALE, make_sale().variants.get().pk, "restock"])
    form = {"units": 4, "key": uuid4()}
    with monkeypatch.context() as patch:
        patch.setattr(stock_changes, "change_sales", lost)
        unsure = browser.post(url, form, headers=HTMX).content.decode()
    assert 'data-kind="unsure"' in unsure
    assert 'name="key"' not in unsure
    assert 'name="key"' in browser.post(url, form, headers=HTMX).content.decode()


def test_what_does_not_exist_is_not_found(browser: Client, make_sale: MakeSale) -> None:
    sale = make_sale()
    assert send(browser, sale, "explode").status_code == 404
    url = reverse("change-sale", args=[2**31, "pause"])
    assert browser.post(url, headers=HTMX).status_code == 404
    assert not AuditEntry.objects.filter(sale=sale, action="paused").exists()
