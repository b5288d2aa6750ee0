"""The list of sales: open, upcoming and ended ones, in this order."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conftest import MakeSale
from inventory.models import Sale
from orders import sale_lifecycle
from storefront.sale_list import RenderedList, public_sales
from tests.cast import JSON


def shown(*of: Sale, after: float = 0) -> RenderedList:
    """The list of these sales as it is `after` seconds from now."""
    known = Sale.objects.filter(pk__in=[sale.pk for sale in of])
    return RenderedList(known, timezone.now() + timedelta(seconds=after))


def as_json(sale: Sale) -> dict[str, str]:
    [found] = json.loads(shown(sale).as_json)["sales"]
    return dict(found)


def in_order(*of: Sale, after: float = 0) -> list[str]:
    return [listed.sale.slug for listed in shown(*of, after=after).sales]


def test_a_draft_is_not_listed(make_sale: MakeSale) -> None:
    draft, live = make_sale(live=False), make_sale()
    known = public_sales()
    assert live in known
    assert draft not in known


def test_a_sale_is_listed_with_its_phase(make_sale: MakeSale) -> None:
    sale = make_sale()
    assert as_json(sale)["phase"] == "open"
    sale_lifecycle.pause(sale.pk, by="staff")
    assert as_json(sale)["phase"] == "paused"
    sale_lifecycle.end(sale.pk, by="staff")
    assert as_json(sale)["phase"] == "ended"


def test_a_paused_sale_is_upcoming_until_its_opening(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    assert as_json(sale)["phase"] == "upcoming"
    sale_lifecycle.pause(sale.pk, by="staff")
    assert as_json(sale)["phase"] == "upcoming"


def test_a_sale_opens_and_ends_by_the_clock_without_another_read(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(opens_in=600, closes_in=1200)
    moment = timedelta(microseconds=1)
    for turn, before, after in (
        (sale.opens_at, "upcoming", "open"),
        (sale.closes_at, "open", "ended"),
    ):
        shown = RenderedList([sale], turn - moment)
        assert (shown.sales[0].phase, shown.is_valid(turn - moment)) == (before, True)
        assert not shown.is_valid(turn)
        assert RenderedList([sale], turn).sales[0].phase == after


def test_times_are_utc(make_sale: MakeSale) -> None:
    sale = make_sale()
    milliseconds = sale.opens_at.microsecond // 1000
    expected = f"{sale.opens_at:%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"
    assert as_json(sale)["opens_at"] == expected


def test_ended_sales_come_last_the_latest_first(make_sale: MakeSale) -> None:
    over, open_now, upcoming = make_sale(), make_sale(), make_sale(opens_in=600)
    over_later = make_sale(closes_in=4000)
    for sale in (over, over_later):
        sale_lifecycle.end(sale.pk, by="staff")
    expected = [open_now.slug, upcoming.slug, over_later.slug, over.slug]
    assert in_order(over, over_later, upcoming, open_now) == expected


def test_a_sale_that_ends_by_the_clock_moves_to_the_ended_ones(make_sale: MakeSale) -> None:
    short, long = make_sale(closes_in=600), make_sale()
    assert in_order(short, long) == [short.slug, long.slug]
    assert in_order(short, long, after=900) == [long.slug, short.slug]


def test_only_the_latest_ended_sales_are_listed() -> None:
    now = timezone.now()
    over = [
        Sale(
            slug=str(age),
            status="live",
            opens_at=now - timedelta(days=age + 1),
            closes_at=now - timedelta(age),
        )
        for age in range(20)
    ]
    assert [listed.sale.slug for listed in RenderedList(over, now).sales] == [*map(str, range(12))]


def test_the_page_links_each_sale(make_sale: MakeSale) -> None:
    sale = make_sale()
    assert f'href="/sales/{sale.slug}/"' in shown(sale).page("en").decode()


def test_more_sales_do_not_mean_more_queries(make_sale: MakeSale) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            known = public_sales()
        with CaptureQueriesContext(connection) as rendering:
            RenderedList(known, timezone.now()).page("en")
        assert len(rendering) == 0  # the event loop must not wait for PostgreSQL
        assert not [query for query in captured if "description" in query["sql"]]  # long texts
        return len(captured)

    make_sale()
    before = queries()
    make_sale(stock={"shoe": 1, "boot": 1})
    assert queries() == before <= 4


def test_an_unknown_url_is_a_404() -> None:
    assert Client().get("/nowhere/", headers=JSON).json() == {"error": "not_found"}
    page = Client().get("/nowhere/")
    assert page.status_code == 404
    assert "There is nothing here" in page.content.decode()


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_404_varies_by_accept(accept: str) -> None:
    answer = Client().get("/nowhere/", headers={"Accept": accept})
    assert answer["Vary"] == "Accept, Accept-Language, Cookie"
    assert answer["Content-Type"].startswith(accept)
