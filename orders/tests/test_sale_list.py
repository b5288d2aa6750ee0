"""The list of sales: what can be bought now, what comes, what is over."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from inventory.models import Sale
from orders import sales

MakeSale = Callable[..., Sale]
JSON = {"Accept": "application/json"}


def listed(sale: Sale) -> dict[str, str] | None:
    """What the list says of one sale."""
    content = Client().get("/", headers=JSON).json()
    return next((one for one in content["sales"] if one["slug"] == sale.slug), None)


def phase(sale: Sale) -> str:
    found = listed(sale)
    assert found
    return found["phase"]


def test_a_draft_is_nobodys_business(make_sale: MakeSale) -> None:
    draft = make_sale(live=False)
    assert listed(draft) is None
    assert draft.slug not in Client().get("/").content.decode()


def test_a_sale_is_listed_with_its_phase(make_sale: MakeSale) -> None:
    sale = make_sale()
    assert phase(sale) == "open"
    sales.pause(sale.pk, by="staff")
    assert phase(sale) == "paused"
    sales.end(sale.pk, by="staff")
    assert phase(sale) == "ended"


def test_a_sale_that_comes_is_upcoming_even_while_it_is_paused(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    assert phase(sale) == "upcoming"
    sales.pause(sale.pk, by="staff")
    assert phase(sale) == "upcoming"


def test_times_are_utc(make_sale: MakeSale) -> None:
    sale = make_sale()
    found = listed(sale)
    assert found
    assert (
        found["opens_at"]
        == f"{sale.opens_at:%Y-%m-%dT%H:%M:%S}.{sale.opens_at.microsecond // 1000:03}Z"
    )


def test_what_is_over_comes_last(make_sale: MakeSale) -> None:
    over, upcoming, open_now = make_sale(), make_sale(opens_in=600), make_sale()
    sales.end(over.pk, by="staff")
    content = Client().get("/", headers=JSON).json()["sales"]
    slugs = [one["slug"] for one in content]
    assert slugs.index(open_now.slug) < slugs.index(upcoming.slug) < slugs.index(over.slug)


def test_the_page_links_each_sale(make_sale: MakeSale) -> None:
    sale = make_sale()
    assert f'href="/sales/{sale.slug}/"' in Client().get("/").content.decode()


def test_more_sales_do_not_mean_more_queries(make_sale: MakeSale) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            Client().get("/")
        return len(captured)

    make_sale()
    before = queries()
    make_sale(stock={"shoe": 1, "boot": 1})
    assert queries() == before <= 4


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_kept_copies_are_told_apart(accept: str) -> None:
    answer = Client().get("/", headers={"Accept": accept})
    assert answer["Vary"] == "Accept, Accept-Language, Cookie"
    assert answer["Content-Type"].startswith(accept)


def test_the_list_is_only_read() -> None:
    assert Client().post("/").status_code == 405


def test_an_unknown_page_is_said_to_be_unknown() -> None:
    assert Client().get("/nowhere/", headers=JSON).json() == {"error": "not_found"}
    page = Client().get("/nowhere/")
    assert page.status_code == 404
    assert "There is nothing here" in page.content.decode()
