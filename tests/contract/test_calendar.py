"""A sale that is still to come, as an entry of the shopper's own calendar."""

from datetime import timedelta

import httpx
import pytest
from icalendar import Alarm, Calendar, Event

from conftest import MakeSale
from inventory.models import Sale
from orders import sale_lifecycle
from tests import stack
from tests.cast import JSON, Shopper


def ask(shopper: Shopper, slug: str, host: str = "") -> httpx.Response:
    headers = {"Host": host} if host else {}
    return shopper.client.get(f"/sales/{slug}/calendar.ics", headers=headers)


def entry(reply: httpx.Response) -> Event:
    assert reply.status_code == 200
    [event] = Calendar.from_ical(reply.content).events
    return event


def named(make_sale: MakeSale, name: str) -> Sale:
    sale = make_sale(opens_in=600)
    Sale.objects.filter(pk=sale.pk).update(name=name)
    return sale


def test_an_upcoming_sale_can_be_put_into_a_calendar(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    reply = ask(shopper, sale.slug, "example.com")
    event = entry(reply)
    assert event.start == sale.opens_at.replace(microsecond=0)
    assert event.end == sale.closes_at.replace(microsecond=0)
    assert f"DTSTART:{sale.opens_at:%Y%m%dT%H%M%S}Z" in reply.text
    assert (event["summary"], event["url"]) == (sale.name, f"http://example.com/sales/{sale.slug}/")
    assert abs(event.stamp - event.start) < timedelta(seconds=700)


def test_it_reminds_five_minutes_before(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    [alarm] = entry(ask(shopper, sale.slug)).walk("VALARM")
    assert isinstance(alarm, Alarm)
    assert (alarm["action"], alarm["description"]) == ("DISPLAY", sale.name)
    assert timedelta(minutes=-5) == alarm.TRIGGER


def test_the_same_sale_is_the_same_entry(shopper: Shopper, make_sale: MakeSale) -> None:
    first, second = make_sale(opens_in=600), make_sale(opens_in=600)
    again = [entry(ask(shopper, sale.slug))["uid"] for sale in (first, first, second)]
    assert again[0] == again[1] != again[2]


def test_a_calendar_program_takes_it_for_a_file_of_its_own(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=600)
    reply = ask(shopper, sale.slug)
    assert reply.headers["content-type"] == "text/calendar; charset=utf-8"
    assert reply.headers["content-disposition"] == f'attachment; filename="{sale.slug}.ics"'


NAMES = {
    "Shoes, boots; and \\more": "Shoes, boots; and \\more",
    "Größe 42 & Überraschung 👟": "Größe 42 & Überraschung 👟",
    "x" * 120: "x" * 120,
    "ü" * 120: "ü" * 120,
    "two\nlines\r\nor\rthree": "two lines or three",
    "a\nBEGIN:VEVENT\nBELL\x07": "a BEGIN:VEVENT BELL",
}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_odd_names_arrive_whole(name: str, shopper: Shopper, make_sale: MakeSale) -> None:
    reply = ask(shopper, named(make_sale, name).slug)
    assert entry(reply)["summary"] == NAMES[name]
    assert max(len(line) for line in reply.content.split(b"\r\n")) <= 75
    assert b"\n" not in reply.content.replace(b"\r\n", b"")


def test_over_https_it_links_back_over_https(
    proxied: stack.Web, shopper: Shopper, make_sale: MakeSale
) -> None:
    address = f"{proxied.url}/sales/{make_sale(opens_in=600).slug}/calendar.ics"
    reply = httpx.get(address, headers={"X-Forwarded-Proto": "https"})
    assert str(entry(reply)["url"]).startswith("https://127.0.0.1:")


def test_what_is_over_or_a_draft_is_in_no_calendar(shopper: Shopper, make_sale: MakeSale) -> None:
    over, draft = make_sale(), make_sale(live=False)
    sale_lifecycle.end(over.pk, by="staff")
    for slug in (over.slug, draft.slug, "nothing"):
        assert ask(shopper, slug).status_code == 404


def test_it_is_only_read(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    reply = shopper.client.post(f"/sales/{sale.slug}/calendar.ics", headers=JSON)
    assert (reply.status_code, reply.json()) == (405, {"error": "method"})
