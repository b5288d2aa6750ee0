"""Staff type and read the times of a sale in its own time zone, on every page."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from conftest import MakeSale
from dashboard.tests.admin_pages import (
    LOOK,
    RUN,
    WRITE,
    Staff,
    asking,
    form_of,
    listed,
    page_of,
)
from inventory.models import Listing, Sale
from orders import sale_lifecycle
from orders.models import AuditEntry
from tests.cast import stocked

BERLIN = "Europe/Berlin"
FIRST = datetime(2034, 10, 29, 0, 30, tzinfo=UTC)  # 02:30 in Berlin, before the clocks are set back
SECOND = FIRST + timedelta(hours=1)  # 02:30 again
NO_VARIANT = {"listings-TOTAL_FORMS": "0", "listings-INITIAL_FORMS": "0"}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*RUN, *WRITE, "inventory.watch_sales")


def typed(slug: str, zone: str, opens: str, closes: str = "2035-01-01 20:00") -> dict[str, str]:
    """What staff type into the form of a sale."""
    opens_on, opens_at = opens.split()
    closes_on, closes_at = closes.split()
    return {
        "name": slug.capitalize(),
        "slug": slug,
        "time_zone": zone,
        "limit": "1",
        "opens_at_0": opens_on,
        "opens_at_1": opens_at,
        "closes_at_0": closes_on,
        "closes_at_1": closes_at,
    }


def send(staff: Staff, address: str, **fields: str) -> str:
    """Fills the form in and sends it. Gives the page that follows."""
    form = {**form_of(staff.opens(address)), **fields}
    return staff.browser.post(address, form, follow=True).content.decode()


def add(staff: Staff, slug: str, zone: str, opens: str, **more: str) -> str:
    return send(staff, f"{listed(Sale)}add/", **typed(slug, zone, opens), **more)


def draft(opens_at: datetime, zone: str = BERLIN) -> Sale:
    """A draft that opens then, and closes in 2035."""
    slug = f"times-{Sale.objects.count()}"
    closes_at = datetime(2035, 1, 1, tzinfo=UTC)
    skus = [stocked(slug, 1).sku]
    return sale_lifecycle.create(
        slug, "Drop", opens_at, closes_at, skus=skus, time_zone=zone, by="tests"
    )


def errors_in(page: str) -> str:
    return " ".join(re.findall(r'<ul class="errorlist[^>]*>.*?</ul>', page, re.S))


# --- One zone everywhere -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "opens_at", "shown"),
    [
        (BERLIN, datetime(2034, 12, 1, 17, tzinfo=UTC), "1 Dec 2034, 18:00:00 CET"),
        (
            "Asia/Kathmandu",
            datetime(2034, 12, 1, 12, 15, tzinfo=UTC),
            "1 Dec 2034, 18:00:00 UTC+5:45",
        ),
        (
            "America/St_Johns",
            datetime(2034, 12, 1, 21, 30, tzinfo=UTC),
            "1 Dec 2034, 18:00:00 NST",
        ),
        ("Pacific/Apia", datetime(2034, 12, 1, 5, tzinfo=UTC), "1 Dec 2034, 18:00:00 UTC+13"),
    ],
)
def test_what_is_typed_is_what_every_page_shows(
    anna: Staff, zone: str, opens_at: datetime, shown: str
) -> None:
    slug = f"times-{zone.lower().replace('/', '-').replace('_', '-')}"
    add(anna, slug, zone, "2034-12-01 18:00")
    sale = Sale.objects.get(slug=slug)
    assert (sale.opens_at, sale.time_zone) == (opens_at, zone)
    form = form_of(anna.opens(page_of(sale)))
    assert (form["opens_at_0"], form["opens_at_1"]) == ("2034-12-01", "18:00:00")
    Listing.objects.create(sale=sale, variant=stocked(slug, 1))
    sale_lifecycle.schedule(sale.pk, by="anna")
    for address in (
        *(listed(Sale) + f"?q={slug}", page_of(sale), asking("pause", sale)),
        f"{listed(AuditEntry)}?sale={sale.pk}",
        reverse("dashboard"),
    ):
        assert shown in anna.opens(address), address
    window = form_of(anna.opens(asking("window", sale)))
    assert window["opens_at"] == "2034-12-01T18:00:00"


def test_a_form_that_is_saved_unchanged_moves_nothing(anna: Staff) -> None:
    for zone in ("Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", BERLIN, "UTC"):
        sale = draft(datetime(2034, 10, 1, 0, 30, 59, 123_000, UTC), zone)
        send(anna, page_of(sale))
        assert [entry.action for entry in sale.audit.all()] == ["created"]
        assert Sale.objects.get(pk=sale.pk).opens_at == sale.opens_at


def test_djangos_history_is_in_the_zone_too(anna: Staff) -> None:
    sale = draft(datetime(2034, 12, 1, 17, tzinfo=UTC), "Asia/Kathmandu")
    send(anna, page_of(sale), name="Other")
    assert "Times in Asia/Kathmandu" in anna.opens(f"{listed(Sale)}{sale.pk}/history/")


# --- The zone is chosen in the same form -------------------------------------------------------


def test_another_zone_keeps_the_clock_times_and_says_so(anna: Staff) -> None:
    sale = draft(datetime(2034, 12, 1, 18, tzinfo=UTC), "UTC")
    page = send(anna, page_of(sale), time_zone=BERLIN)
    sale.refresh_from_db()
    assert sale.opens_at == datetime(2034, 12, 1, 17, tzinfo=UTC)
    assert "The times are in Europe/Berlin now: 1 Dec 2034, 18:00:00 CET to" in page
    change = anna.opens(f"{listed(AuditEntry)}?sale={sale.pk}")
    assert "opens 1 Dec 2034, 18:00:00 UTC → 1 Dec 2034, 18:00:00 CET" in change


def test_a_time_typed_with_another_zone_is_read_in_it(anna: Staff) -> None:
    sale = draft(datetime(2034, 12, 1, 18, tzinfo=UTC), "UTC")
    send(anna, page_of(sale), time_zone="Asia/Kathmandu", opens_at_1="20:45")
    sale.refresh_from_db()
    assert sale.opens_at == datetime(2034, 12, 1, 15, tzinfo=UTC)


def test_two_who_edit_zone_and_limit_keep_each_others_changes(anna: Staff) -> None:
    sale, ben = draft(datetime(2034, 12, 1, 18, tzinfo=UTC), "UTC"), Staff.superuser()
    form = form_of(anna.opens(page_of(sale)))
    send(ben, page_of(sale), time_zone=BERLIN)
    anna.sends(page_of(sale), **{**form, "limit": "3"})
    sale.refresh_from_db()
    assert (sale.limit, sale.time_zone) == (3, BERLIN)
    assert sale.opens_at == datetime(2034, 12, 1, 17, tzinfo=UTC)


def test_a_page_of_a_release_that_said_in_utc_is_read_in_utc(anna: Staff) -> None:
    """It was opened before an upgrade, and sent after it."""
    anna.sends(
        f"{listed(Sale)}add/", **typed("times-old", BERLIN, "2034-12-01 18:00"), **NO_VARIANT
    )
    sale = Sale.objects.get(slug="times-old")
    assert sale.opens_at == datetime(2034, 12, 1, 18, tzinfo=UTC)


def test_a_new_sale_begins_with_the_zone_of_the_last_one(anna: Staff) -> None:
    draft(datetime(2034, 12, 1, tzinfo=UTC), "Asia/Kathmandu")
    page = anna.opens(f"{listed(Sale)}add/")
    [zones] = re.findall(r'<select name="time_zone".*?</select>', page, re.S)
    assert re.findall(r'<option value="([^"]*)" selected', zones) == ["Asia/Kathmandu"]
    groups = re.findall(r'<optgroup label="([^"]+)">\s*<option value="([^"]+)"', zones)
    assert groups == [("In use", "Asia/Kathmandu"), ("All", "Africa/Abidjan")]


# --- Errors name the zone ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opens", "closes", "error"),
    [
        ("2034-12-01 18:00", "2034-12-01 18:00", "Both are in Europe/Berlin."),
        ("2020-01-01 18:00", "2020-01-02 18:00", " now in Europe/Berlin."),
        ("2034-03-26 02:30", "2035-01-01 18:00", "Europe/Berlin never has 26 Mar 2034, 02:30:00"),
        ("2034-10-29 02:30", "2035-01-01 18:00", "Europe/Berlin has 29 Oct 2034, 02:30:00 twice"),
        ("2034-12-01 6pm", "2035-01-01 18:00", "a time such as 18:00."),
        ("1066-12-01 18:00", "2035-01-01 18:00", "The year must be from 2000 to 2999."),
        ("9999-12-31 23:59", "9999-12-31 23:59", "The year must be from 2000 to 2999."),
    ],
)
def test_an_error_names_the_zone_of_the_sale(
    anna: Staff, opens: str, closes: str, error: str
) -> None:
    page = send(anna, f"{listed(Sale)}add/", **typed("times-wrong", BERLIN, opens, closes))
    assert error in errors_in(page)
    assert not Sale.objects.filter(slug="times-wrong").exists()


@pytest.mark.parametrize("missing", ["opens_at_0", "opens_at_1"])
def test_half_a_moment_is_none(anna: Staff, missing: str) -> None:
    page = add(anna, "times-half", BERLIN, "2034-12-01 18:00")
    sale = Sale.objects.get(slug="times-half")
    page = send(anna, page_of(sale), **{missing: ""})
    assert "Enter a date such as" in errors_in(page)


def test_an_unknown_zone_is_the_only_error(anna: Staff) -> None:
    page = add(anna, "times-atlantis", "Europe/Atlantis", "2034-10-29 02:30")
    assert "No such time zone." in errors_in(page)
    assert "02:30" not in errors_in(page)


# --- The hour that comes twice -----------------------------------------------------------------


@pytest.mark.parametrize(("which", "opens_at"), [("0", FIRST), ("1", SECOND)])
def test_the_hour_that_comes_twice_is_asked_about_and_kept(
    anna: Staff, which: str, opens_at: datetime
) -> None:
    slug = f"times-twice-{which}"
    page = add(anna, slug, BERLIN, "2034-10-29 02:30")
    assert "first (CEST, UTC+2)" in page
    assert "second (CET, UTC+1)" in page
    add(anna, slug, BERLIN, "2034-10-29 02:30", opens_at_pass=which)
    sale = Sale.objects.get(slug=slug)
    assert sale.opens_at == opens_at
    assert form_of(anna.opens(page_of(sale)))["opens_at_pass"] == which
    send(anna, page_of(sale), name="Saved again")
    sale.refresh_from_db()
    assert (sale.name, sale.opens_at) == ("Saved again", opens_at)


def test_no_other_hour_is_asked_about(anna: Staff) -> None:
    page = anna.opens(page_of(draft(SECOND + timedelta(hours=1))))
    assert "opens_at_pass" not in page


# --- The window of a scheduled sale ------------------------------------------------------------


@pytest.fixture
def berlin(make_sale: MakeSale) -> Sale:
    """A sale in Berlin that opens when 02:30 comes for the second time."""
    sale = make_sale(live=False)
    Sale.objects.filter(pk=sale.pk).update(
        time_zone=BERLIN, opens_at=SECOND, closes_at=datetime(2035, 1, 1, 17, tzinfo=UTC)
    )
    sale_lifecycle.schedule(sale.pk, by="tests")
    sale.refresh_from_db()
    return sale


def window_on_the_dashboard(staff: Staff, sale: Sale) -> tuple[str, dict[str, str]]:
    """The address of its form, and what it sends unchanged."""
    address = reverse("change-sale", args=[sale.pk, "window"])
    page = staff.opens(reverse("dashboard"))
    form = page[page.index(f'method="post" action="{address}"') :].partition("</form>")[0]
    return address, form_of(f"<form>{form}</form>")


def test_a_close_is_moved_while_the_opening_comes_twice(anna: Staff, berlin: Sale) -> None:
    address, form = window_on_the_dashboard(anna, berlin)
    assert form["opens_at_pass"] == "1"
    moved = {**form, "closes_at": "2035-01-01T19:00"}
    answer = anna.browser.post(address, moved, headers=HTMX)
    assert answer.status_code == 200, answer.content.decode()
    anna.confirms("window", berlin, closes_at="2035-01-01T20:00")
    berlin.refresh_from_db()
    assert (berlin.opens_at, berlin.closes_at.hour) == (SECOND, 19)


def test_the_dashboard_asks_which_of_the_two(anna: Staff, berlin: Sale) -> None:
    sale_lifecycle.change_window(berlin.pk, opens_at=FIRST - timedelta(days=1), by="tests")
    address, form = window_on_the_dashboard(anna, berlin)
    assert "opens_at_pass" not in form
    asked = anna.browser.post(address, {**form, "opens_at": "2034-10-29T02:30"}, headers=HTMX)
    page = asked.content.decode()
    assert asked.status_code == 409
    assert "Opens at (Europe/Berlin): Europe/Berlin has 29 Oct 2034, 02:30:00 twice" in page
    assert f'id="window-{berlin.pk}" class="moments" hx-swap-oob="true"' in page
    chosen = {**form, **form_of(f"<form>{page}</form>"), "opens_at_pass": "0"}
    done = anna.browser.post(address, chosen, headers=HTMX)
    assert done.status_code == 200
    assert 'value="2034-10-29T02:30:00"' in done.content.decode()
    berlin.refresh_from_db()
    assert berlin.opens_at == FIRST


def test_windows_in_several_zones_are_not_changed_by_one_form(
    anna: Staff, berlin: Sale, make_sale: MakeSale
) -> None:
    other = make_sale(opens_in=600)
    page = anna.browser.get(asking("window", berlin, other), follow=True)
    told = [str(message) for message in page.context["messages"]]
    assert told == ["Times in Europe/Berlin and UTC differ: change the windows zone by zone."]


def test_a_close_in_the_past_is_refused_with_the_time_of_the_sale(
    anna: Staff, berlin: Sale
) -> None:
    [told] = anna.confirms("window", berlin, closes_at="2020-01-01T20:00")
    assert re.search(r"it is .* in Europe/Berlin", told)


def test_staff_who_only_look_see_the_zone(berlin: Sale) -> None:
    ben = Staff.with_permissions(*LOOK)
    assert "29 Oct 2034, 02:30:00 CET" in ben.opens(page_of(berlin))


def test_any_fields_at_all_are_no_fault_of_the_server(anna: Staff, berlin: Sale) -> None:
    odd: list[dict[str, Any]] = [
        {"opens_at": "x", "opens_at_pass": "7"},
        {"initial-opens_at": "x", "opens_at": "2034-10-29T02:30"},
        {"opens_at": "0001-01-01T00:00", "closes_at": "9999-12-31T23:59:59"},
        {"opens_at": "2034-10-29T02:30+99:00"},
    ]
    for fields in odd:
        answer = anna.browser.post(asking("window", berlin), fields)
        assert answer.status_code == 200, fields
