"""The front page lists the sales for everybody at once."""

import time
from typing import Any

import httpx

from conftest import MakeSale
from inventory.models import Sale
from orders import sale_lifecycle
from tests import deadlines, stack
from tests.cast import JSON, PAGE, Shopper
from tests.contract.shapes import SHAPES, failed, in_each_shape


def ask(shopper: Shopper, headers: dict[str, str]) -> httpx.Response:
    return shopper.client.get("/", headers=headers)


def listed(shopper: Shopper, sale: Sale) -> dict[str, Any]:
    content = ask(shopper, JSON).json()["sales"]
    return next((one for one in content if one["slug"] == sale.slug), {})


def test_a_program_learns_which_sales_there_are(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    found = stack.wait_for(lambda: listed(shopper, sale), "the sale is listed")
    assert found.keys() == {"slug", "name", "phase", "opens_at", "closes_at"}
    assert (found["name"], found["phase"]) == (sale.name, "open")
    assert ask(shopper, JSON).headers["content-type"] == "application/json"


def test_the_page_marks_where_one_is(shopper: Shopper) -> None:
    page = ask(shopper, PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/" aria-current="page">' in page.text


def test_what_staff_do_is_listed_within_a_second_or_so(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    stack.wait_for(lambda: listed(shopper, sale), "the sale is listed")
    sale_lifecycle.pause(sale.pk, by="staff")
    stack.wait_for(lambda: listed(shopper, sale)["phase"] == "paused", "it is paused", 5)


def test_a_sale_is_open_at_the_moment_at_which_it_opens(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=deadlines.ahead(2))

    def opened() -> bool:
        asked_at = time.time()
        phase = listed(shopper, sale).get("phase")
        assert asked_at < sale.opens_at.timestamp() or phase == "open"
        return phase == "open"

    stack.wait_for(opened, "it is open")


def test_somebody_who_comes_after_a_quiet_hour_sees_no_old_list(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    def is_listed_at_once() -> bool:
        listed(shopper, make_sale())
        kept_until = time.monotonic() + 1.1
        sale = make_sale()
        stack.wait_for(lambda: time.monotonic() > kept_until, "nobody has asked for a second")
        return bool(listed(shopper, sale))

    # More than once: on a busy machine the list may not be read within the time that a page waits.
    stack.wait_for(is_listed_at_once, "the first who asks sees the newest list")


@in_each_shape
def test_it_is_only_read(shape: str, shopper: Shopper) -> None:
    reply = shopper.client.post("/", headers=SHAPES[shape])
    failed(reply, shape, 405, "method")
    assert reply.headers["allow"] == "GET, HEAD"


def test_a_head_has_no_body(shopper: Shopper) -> None:
    reply = shopper.client.head("/")
    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply.headers["content-length"]) > 500
