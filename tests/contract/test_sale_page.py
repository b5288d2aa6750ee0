"""The page of a sale, and the same for programs."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import sale_lifecycle
from tests import stack
from tests.cast import HTMX, PAGE, Shopper, forms, skus
from tests.contract.shapes import SHAPES, failed, in_each_shape


def as_json(shopper: Shopper, sale: Sale) -> dict[str, Any]:
    return shopper.sale(sale)


def test_a_program_learns_all_that_it_needs_to_buy(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(stock={"shoe": 3, "boot": 0})
    told = as_json(shopper, sale)
    shoe, boot = skus(sale)
    price = {"price": 12900, "currency": "EUR"}
    assert told.pop("products") == [
        {"sku": shoe, "name": "Shoe", "option": shoe, "stock": 3, **price},
        {"sku": boot, "name": "Boot", "option": boot, "stock": 0, **price},
    ]
    assert re.fullmatch(r"[\w-]{54}", told.pop("ticket"))
    now = datetime.fromisoformat(told.pop("server_time"))
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5
    for moment in ("opens_at", "closes_at"):
        stated = datetime.fromisoformat(told.pop(moment))
        assert abs((stated - getattr(sale, moment)).total_seconds()) < 0.001
    assert told == {"sale": sale.slug, "phase": "open"}


def test_times_are_utc_with_milliseconds(shopper: Shopper, make_sale: MakeSale) -> None:
    told = as_json(shopper, make_sale())
    for moment in ("opens_at", "closes_at", "server_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told[moment])


@pytest.mark.parametrize("phase", ["upcoming", "paused", "ended"])
def test_the_phase_of_a_sale_is_told(phase: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=60 if phase == "upcoming" else -60)
    if phase == "paused":
        sale_lifecycle.pause(sale.pk, by="staff")
    if phase == "ended":
        sale_lifecycle.end(sale.pk, by="staff")
    assert as_json(shopper, sale)["phase"] == phase
    assert f'data-phase="{phase}"' in shopper.client.get(f"/sales/{sale.slug}/").text


def test_the_stock_that_is_told_is_what_can_be_bought_now(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=3, limit=2)
    assert as_json(shopper, sale)["products"][0]["stock"] == 3
    shopper.buy(sale, quantity=2)
    stack.wait_for(lambda: as_json(shopper, sale)["products"][0]["stock"] == 1, "one is left")


def test_each_variant_has_a_form_with_a_ticket_of_its_own(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"shoe": 1, "boot": 1}, limit=2)
    page = shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE)
    made = forms(page.text)
    assert [form["product"] for form in made] == skus(sale)
    assert len({form["ticket"] for form in made}) == 2
    for form in made:
        assert shopper.buy(sale, headers=PAGE, **form).headers["location"].startswith("/orders/")


def test_no_ticket_is_given_twice(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    assert len({shopper.ticket(sale) for _ in range(10)}) == 10


def test_a_page_without_its_socket_asks_for_the_live_parts_alone(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=7)
    reply = shopper.client.get(f"/sales/{sale.slug}/", headers=HTMX)
    assert reply.status_code == 200
    assert f'id="stock-{skus(sale)[0]}" class="stock" data-left="7"' in reply.text
    assert "<form" not in reply.text
    assert "set-cookie" not in reply.headers


def test_asking_only_for_the_headers_is_as_good_as_asking_for_the_page(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    path = f"/sales/{make_sale().slug}/"
    head = shopper.client.head(path, headers=PAGE)
    page = shopper.client.get(path, headers=PAGE)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(page.content))
    assert head.headers["content-type"] == page.headers["content-type"]


@in_each_shape
def test_a_sale_that_does_not_exist_is_not_found(shape: str, shopper: Shopper) -> None:
    for slug in ("nothing", "x" * 60):
        reply = shopper.client.get(f"/sales/{slug}/", headers=SHAPES[shape])
        failed(reply, shape, 404, "not_found" if shape == "json" else "no_sale")
        assert "set-cookie" not in reply.headers


@in_each_shape
def test_nobody_sees_a_draft(shape: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    reply = shopper.client.get(f"/sales/{sale.slug}/", headers=SHAPES[shape])
    failed(reply, shape, 404, "not_found" if shape == "json" else "no_sale")


MESSAGES = "sold_out not_enough paused not_open closed limit rate_limited ticket product quantity"


def test_the_page_says_why_a_form_was_sent_back(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    for code in MESSAGES.split():
        page = shopper.client.get(f"/sales/{sale.slug}/?message={code}", headers=PAGE)
        assert f'data-code="{code}"' in page.text


ODD = ["", "nothing", "<script>alert(1)</script>", "Call+0900-1234", "%00", "%ff", "x" * 9000]


def test_nobody_puts_words_into_the_shops_mouth(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    for message in ODD:
        page = shopper.client.get(f"/sales/{sale.slug}/?message={message}", headers=PAGE)
        assert (page.status_code, "data-code" in page.text) == (200, False)
        assert "alert(1)" not in page.text
        assert "0900-1234" not in page.text
