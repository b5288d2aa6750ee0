"""Staff are asked about what is odd before they schedule or open a sale."""

import re

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from conftest import MakeSale
from dashboard.tests.admin_pages import LOOK, RUN, Staff, asking, form_of
from dashboard.tests.staff import RUNS, browser_of, employ
from inventory.models import Sale


@pytest.fixture
def draft(make_sale: MakeSale) -> Sale:
    """A draft whose only variant costs nothing."""
    sale = make_sale(live=False)
    sale.variants.update(price=0)
    return sale


def send(browser: Client, sale: Sale, control: str, **fields: str) -> HttpResponse:
    url = reverse("change-sale", args=[sale.pk, control])
    return browser.post(url, fields, headers={"HX-Request": "true"})  # type: ignore[return-value]  # the client's own kind


def accepted_in(html: str) -> str:
    found = re.search(r'name="accepted" value="(\w+)"', html)
    assert found
    return found[1]


def status_of(sale: Sale) -> str:
    return Sale.objects.get(pk=sale.pk).status


@pytest.mark.parametrize("control", ["schedule", "open"])
def test_the_dashboard_asks_first(draft: Sale, control: str) -> None:
    browser = browser_of(employ(RUNS))
    answer = send(browser, draft, control, reason="it is free")
    html = answer.content.decode()
    assert (answer.status_code, status_of(draft)) == (409, "draft")
    assert 'data-kind="asked"' in html
    assert "costs nothing." in html
    reason = re.search(r'name="reason" value="([^"]+)"', html)
    assert reason
    again = send(browser, draft, control, accepted=accepted_in(html), reason=reason[1])
    assert (again.status_code, status_of(draft)) == (200, "live")
    entry = draft.audit.first()
    assert entry
    assert entry.reason == "it is free"


def test_without_javascript_the_question_is_a_page(draft: Sale) -> None:
    browser, url = browser_of(employ(RUNS)), reverse("change-sale", args=[draft.pk, "schedule"])
    page = browser.post(url).content.decode()
    assert "Schedule all the same" in page
    browser.post(url, {"accepted": accepted_in(page)})
    assert status_of(draft) == "live"


def test_what_became_odd_meanwhile_is_asked_about_anew(draft: Sale) -> None:
    browser = browser_of(employ(RUNS))
    accepted = accepted_in(send(browser, draft, "schedule").content.decode())
    draft.variants.update(price=5)
    answer = send(browser, draft, "schedule", accepted=accepted)
    assert "costs €0.05" in answer.content.decode()
    assert status_of(draft) == "draft"


@pytest.mark.parametrize("control", ["schedule", "open"])
def test_admin_shows_what_is_odd_on_the_page_that_asks(draft: Sale, control: str) -> None:
    anna = Staff.with_permissions(*LOOK, *RUN)
    assert "costs nothing." in anna.opens(asking(control, draft))
    anna.confirms(control, draft)
    assert status_of(draft) == "live"


def test_admin_does_not_take_a_yes_to_something_else(draft: Sale) -> None:
    anna = Staff.with_permissions(*LOOK, *RUN)
    form = form_of(anna.opens(asking("schedule", draft)))
    draft.variants.update(price=5)
    [said] = anna.sends(asking("schedule", draft), **form)
    assert "costs €0.05" in said
    assert status_of(draft) == "draft"


def test_several_sales_are_accepted_at_once(draft: Sale, make_sale: MakeSale) -> None:
    anna, other = Staff.with_permissions(*LOOK, *RUN), make_sale(live=False)
    other.variants.update(price=1)
    anna.confirms("schedule", draft, other)
    assert [status_of(sale) for sale in (draft, other)] == ["live", "live"]
