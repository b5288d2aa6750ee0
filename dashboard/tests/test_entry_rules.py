"""Staff write who gets units in a sale, and see it once the sale is public."""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from conftest import MakeSale
from dashboard.tests.admin_pages import RUN, WRITE, Staff, form_of, page_of
from dashboard.tests.staff import RUNS, browser_of, employ
from inventory.models import Sale
from orders import sale_lifecycle

ZONE = "Europe/Berlin"
DAY = {"opens_at_0": "2035-07-01", "closes_at_0": "2035-07-03", "draw_at_0": "2035-07-02"}
TIMES = {"opens_at_1": "18:00", "closes_at_1": "18:00", "draw_at_1": "20:00"}
RULES = {"standby": "on", "entrants": "email", "per_address": "20"}


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*RUN, *WRITE)


@pytest.fixture
def draft(make_sale: MakeSale) -> Sale:
    sale = make_sale(live=False)
    Sale.objects.filter(pk=sale.pk).update(time_zone=ZONE)
    return sale


def send(anna: Staff, sale: Sale, **fields: Any) -> str:
    """Send the page's form with these fields. Give the page that follows."""
    form = {**form_of(anna.opens(page_of(sale))), **DAY, **TIMES, **fields}
    return anna.browser.post(page_of(sale), form, follow=True).content.decode()


def test_a_draft_gets_a_draw_in_its_zone(anna: Staff, draft: Sale) -> None:
    send(anna, draft, **RULES)
    draft.refresh_from_db()
    assert draft.draw_at == datetime(2035, 7, 2, 20, tzinfo=ZoneInfo(ZONE))
    assert (draft.draw, draft.standby, draft.entrants, draft.per_address) == (
        *("open", True, "email", 20),
    )
    entry = draft.audit.latest("id")
    assert entry.after["draw_at"] == "2035-07-02T18:00:00+00:00"
    assert entry.after["per_address"] == 20


def test_a_draw_that_is_emptied_leaves_a_sale_by_arrival(anna: Staff, draft: Sale) -> None:
    send(anna, draft, **RULES)
    send(anna, draft, **RULES, draw_at_0="", draw_at_1="")
    draft.refresh_from_db()
    assert (draft.draw, draft.draw_at, draft.standby) == ("", None, True)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (("2035-07-01", "18:00"), "The draw must be after the opening."),
        (("2035-07-03", "18:01"), "The draw must not be after the close."),
    ],
)
def test_a_draw_outside_the_window_is_refused_beside_it(
    anna: Staff, draft: Sale, draw: tuple[str, str], said: str
) -> None:
    page = send(anna, draft, draw_at_0=draw[0], draw_at_1=draw[1])
    assert re.search(rf'id="id_draw_at_error".*?{said}', page, re.S)
    draft.refresh_from_db()
    assert draft.draw == ""


def test_a_page_of_the_last_release_changes_no_rule(anna: Staff, draft: Sale) -> None:
    send(anna, draft, **RULES)
    form = form_of(anna.opens(page_of(draft)))
    names = "draw_at|standby|entrants|per_address"
    old = {
        name: value for name, value in form.items() if not re.match(rf"(initial-)?({names})", name)
    }
    anna.browser.post(page_of(draft), old | {"name": "Renamed"})
    draft.refresh_from_db()
    assert draft.name == "Renamed"
    assert (draft.draw, draft.standby, draft.entrants, draft.per_address) == (
        *("open", True, "email", 20),
    )


def test_a_public_sale_shows_its_rules_to_be_read(anna: Staff, draft: Sale) -> None:
    send(anna, draft, **RULES)
    sale_lifecycle.schedule(draft.pk, by="staff")
    page = anna.opens(page_of(draft))
    assert "2 Jul 2035, 20:00" in page
    assert "people with a verified e-mail address" in page
    assert not re.findall(r'name="(draw_at_0|standby|entrants|per_address)"', page)


def test_standby_is_switched_on_with_a_button(make_sale: MakeSale) -> None:
    sale = make_sale()
    browser = browser_of(employ(RUNS))
    page = browser.get("/dashboard/").content.decode()
    assert f"/dashboard/sales/{sale.pk}/standby/" in page
    answer = browser.post(f"/dashboard/sales/{sale.pk}/standby/", headers={"HX-Request": "true"})
    assert 'data-kind="done"' in answer.content.decode()
    sale.refresh_from_db()
    assert sale.standby
    page = browser.get("/dashboard/").content.decode()
    assert f"/dashboard/sales/{sale.pk}/standby/" not in page
