"""What is no click at all: a shop that does not exist, a form that is none, another site's page."""

from collections.abc import Callable

import httpx
import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders.tickets import new_purchase
from tests.cast import Shopper, skus
from tests.contract.shapes import SHAPES, buy, failed, in_each_shape, refused, state

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def post(
    shopper: Shopper, sale: Sale, shape: str, body: bytes, headers: dict[str, str]
) -> httpx.Response:
    path = f"/sales/{sale.slug}/buy"
    return shopper.client.post(path, content=body, headers={**SHAPES[shape], **headers})


@in_each_shape
def test_in_a_sale_that_does_not_exist_nothing_can_be_bought(shape: str, shopper: Shopper) -> None:
    headers = {**SHAPES[shape], **FORM}
    reply = shopper.client.post("/sales/nothing/buy", content=b"", headers=headers)
    failed(reply, shape, 404, "not_found")


@in_each_shape
def test_a_draft_is_a_sale_that_does_not_exist(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    reply = post(shopper, make_sale(live=False), shape, b"", FORM)
    failed(reply, shape, 404, "not_found")


@in_each_shape
def test_only_variants_of_the_sale_can_be_bought(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    before = state(sale)
    for sku in ("", "hat", "SHOE", "a\0b", "x" * 900, "<script>", "sneaker|1"):
        reply = buy(shopper, sale, shape, product=sku)
        refused(reply, shape, sale, 422, "product")
        assert "<script>" not in reply.text
    assert state(sale) == before


def test_a_variant_of_another_sale_cannot_be_bought_here(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, other = make_sale(), make_sale()
    refused(buy(shopper, sale, "json", product=skus(other)[0]), "json", sale, 422, "product")


NO_QUANTITY = [
    "0",
    "-1",
    "1.5",
    "\uff11",
    "٣",
    "²",
    " 1",
    "1 ",
    "+1",
    "1e3",
    "0x1",
    "1_0",
    "one",
    "",
]
NO_QUANTITY += ["1\0", "NaN", "null", "10001", "2147483648", "9" * 20, "9" * 2000]


@in_each_shape
def test_a_quantity_is_a_whole_number_from_one_up(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=20_000, limit=20_000)
    before, ticket = state(sale), shopper.ticket(sale)
    for quantity in NO_QUANTITY:
        reply = buy(shopper, sale, shape, ticket, quantity=quantity)
        refused(reply, shape, sale, 422, "quantity")
    assert state(sale) == before


GARBAGE = {
    "no field": b"garbage",
    "no form": b'{"ticket": "x"}',
    "nothing between": b"product=a&&ticket=b",
    "a field twice": b"quantity=1&quantity=2",
    "a ticket twice": b"ticket=a&ticket=b",
    "many fields": b"&".join(b"field%d=1" % number for number in range(17)),
    "not UTF-8": b"product=\xff\xfe",
    "not UTF-8, escaped": b"product=%ff",
    "only zeros": b"\0" * 100,
}


@in_each_shape
def test_a_body_that_is_no_form_is_no_click(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    before = state(sale)
    for body in GARBAGE.values():
        failed(post(shopper, sale, shape, body, FORM), shape, 422, "body")
    assert state(sale) == before


def test_an_empty_form_has_no_ticket(shopper: Shopper, make_sale: MakeSale) -> None:
    failed(post(shopper, make_sale(), "json", b"", FORM), "json", 403, "ticket")


@in_each_shape
def test_a_body_over_4_kb_is_too_large(shape: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    for size in (4097, 1_000_000):
        failed(post(shopper, sale, shape, b"a" * size, FORM), shape, 413, "too_large")


@pytest.mark.parametrize("pieces", [5, 1000])
def test_a_body_that_does_not_say_how_long_it_is_is_not_read_for_ever(
    pieces: int, shopper: Shopper, make_sale: MakeSale
) -> None:
    reply = shopper.client.post(
        f"/sales/{make_sale().slug}/buy",
        content=(b"a" * 1000 for _ in range(pieces)),
        headers={**SHAPES["json"], **FORM},
    )
    failed(reply, "json", 413, "too_large")


def test_a_form_in_pieces_is_a_form(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    form = f"ticket={shopper.ticket(sale)}&product={skus(sale)[0]}".encode()
    reply = shopper.client.post(
        f"/sales/{sale.slug}/buy",
        content=(form[at : at + 1] for at in range(len(form))),
        headers={**SHAPES["json"], **FORM},
    )
    assert reply.status_code == 202


TYPES = ["application/json", "multipart/form-data; boundary=x", "text/plain", "", "garbage/"]


@in_each_shape
def test_only_forms_are_taken(shape: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    form = f"ticket={shopper.ticket(sale)}&product={skus(sale)[0]}".encode()
    for content_type in TYPES:
        reply = post(shopper, sale, shape, form, {"Content-Type": content_type})
        failed(reply, shape, 415, "content_type")


def test_a_form_may_name_its_encoding(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    form = f"ticket={shopper.ticket(sale)}&product={skus(sale)[0]}".encode()
    for spelling in ("; charset=utf-8", ";charset=UTF-8", ""):
        content_type = FORM["Content-Type"].replace("form", "FORM") + spelling
        reply = post(shopper, sale, "json", form, {"Content-Type": content_type})
        assert reply.status_code == 202


METHODS: list[tuple[Callable[[Sale], str], str, tuple[str, ...]]] = [
    (lambda sale: f"/sales/{sale.slug}/buy", "POST", ("GET", "PUT", "DELETE", "PATCH")),
    (lambda sale: f"/sales/{sale.slug}/", "GET, HEAD", ("POST", "PUT", "DELETE")),
    (lambda sale: f"/orders/{new_purchase(sale.pk)}/", "GET, HEAD", ("POST", "PUT", "DELETE")),
]


@in_each_shape
def test_another_method_is_told_which_ones_there_are(
    shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    for path, allowed, others in METHODS:
        for method in (*others, "OPTIONS", "TRACE"):
            reply = shopper.client.request(method, path(sale), headers=SHAPES[shape])
            assert reply.headers["allow"] == allowed
            failed(reply, shape, 405, "method")


def test_the_list_of_orders_takes_no_form(shopper: Shopper) -> None:
    for path in ("/orders/", "/orders"):
        reply = shopper.client.post(path, headers=SHAPES["json"])
        assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1"},
]


@in_each_shape
def test_another_sites_page_buys_nothing(shape: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    before = state(sale)
    for headers in FOREIGN:
        reply = shopper.buy(sale, headers={**SHAPES[shape], **headers})
        failed(reply, shape, 403, "origin")
    assert state(sale) == before


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_shops_own_page_buys(site: str, shopper: Shopper, make_sale: MakeSale) -> None:
    headers = {**SHAPES["htmx"], "Origin": shopper.url, "Sec-Fetch-Site": site}
    assert shopper.buy(make_sale(), headers=headers).status_code == 202


def test_a_page_keeps_its_place_for_the_outcome_of_the_next_click(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    reply = post(shopper, make_sale(), "htmx", b"garbage", FORM)
    assert reply.headers["hx-reswap"] == "innerHTML"
