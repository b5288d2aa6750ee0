"""A ticket or cookie in another form than ours is none: it names nobody, buys nothing, breaks nothing."""

import base64
import string
from collections.abc import Callable

import httpx
import pytest

from conftest import MakeSale
from flashsale.http.shoppers import cookie_value, new_shopper, shopper_in
from inventory.models import Sale
from tests.cast import JSON, Shopper, skus
from tests.contract.shapes import waiting

URL_SAFE = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def next_letter(sign: str, by: int = 1) -> str:
    return URL_SAFE[(URL_SAFE.index(sign) + by) % 64]


SPELT: dict[str, Callable[[str], list[str]]] = {
    "truncated": lambda made: [made[:size] for size in range(len(made))],
    "with its last letter changed": lambda made: [
        made[:-1] + next_letter(made[-1], by) for by in range(1, 64)
    ],
    "in another case": lambda made: [made.upper(), made.lower(), made.swapcase()],
    "in the other alphabet of base64": lambda made: [
        base64.b64encode(b"\xff" * 32).decode(),
        made.replace("-", "+").replace("_", "/") + "=",
    ],
    "padded": lambda made: [made + "=" * size for size in (1, 2, 3)],
    "with white space": lambda made: [
        f" {made}",
        f"{made} ",
        f"{made}\n",
        made[:9] + "\t" + made[9:],
    ],
    "with a NUL": lambda made: [made + "\0", "\0" + made, made[:9] + "\0" + made[10:]],
    "with signs that base64 skips": lambda made: [
        made[:9] + "!" + made[9:],
        made[:9] + "!" + made[10:],
    ],
    "in wide letters": lambda made: ["".join(chr(ord(sign) + 0xFEE0) for sign in made)],
    "with half a letter": lambda made: [made[:-1] + "\u00ff", made + "\U0001f600"],
    "twice": lambda made: [made * 2, f"{made},{made}"],
    "as a number": lambda made: ["0", "-1", "1e9", "None", "null", "undefined", "[]", "{}"],
    "huge": lambda made: [made + "A" * 3000],
}


@pytest.mark.parametrize("how", SPELT)
def test_a_ticket_that_is_spelt_in_another_way_is_none(
    how: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    made = shopper.ticket(sale)
    for ticket in SPELT[how](made):
        assert ticket != made
        reply = shopper.buy(sale, ticket)
        assert (reply.status_code, reply.json()) == (403, {"error": "ticket"}), ticket
    assert waiting(sale) == 0
    assert shopper.buy(sale, made).status_code == 202


RAW = [
    b"%ff%fe",
    b"\xff\xfe",
    b"%C0%80",
    b"%u0041",
    b"%",
    b"\x00",
    b"&ticket=x",
    b"+" * 43,
    b"+" * 54,
]


def test_a_ticket_that_is_no_text_is_none(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    shopper.sale(sale)
    for ticket in RAW:
        form = b"ticket=" + ticket + b"&product=" + skus(sale)[0].encode()
        headers = {**JSON, "Content-Type": "application/x-www-form-urlencoded"}
        reply = shopper.client.post(f"/sales/{sale.slug}/buy", content=form, headers=headers)
        assert reply.status_code in (403, 422), ticket


@pytest.mark.parametrize("how", SPELT)
def test_a_cookie_that_is_spelt_in_another_way_names_nobody_else(how: str) -> None:
    mine = new_shopper()
    for spelt in SPELT[how](cookie_value(mine).rstrip("=")):
        assert shopper_in(spelt) in (None, mine), spelt


SENDABLE = [how for how in SPELT if how not in ("with a NUL", "with white space")]  # in a header


@pytest.mark.parametrize("how", SENDABLE)
def test_with_such_a_cookie_nobody_else_buys(
    how: str, stranger: httpx.Client, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    for spelt in SPELT[how](shopper.client.cookies["shopper"].rstrip("="))[:5]:
        head = [(b"accept", b"application/json"), (b"cookie", f"shopper={spelt}".encode())]
        reply = stranger.post(f"/sales/{sale.slug}/buy", data=form(sale, ticket), headers=head)
        assert reply.status_code in (202, 403), spelt
    assert waiting(sale) <= 1


def form(sale: Sale, ticket: str) -> dict[str, str]:
    return {"ticket": ticket, "product": skus(sale)[0]}


def test_a_ticket_buys_once_however_often_and_by_whomever_it_is_sent(
    stranger: httpx.Client, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, other = make_sale(stock=10, limit=9), make_sale()
    ticket = shopper.ticket(sale)
    first = shopper.buy(sale, ticket)
    assert [shopper.buy(sale, ticket).json() for _ in range(5)] == [first.json()] * 5
    assert shopper.buy(other, ticket).status_code == 403
    thief = {**JSON, "Cookie": f"shopper={cookie_value(new_shopper())}"}
    stolen = stranger.post(f"/sales/{sale.slug}/buy", data=form(sale, ticket), headers=thief)
    assert (stolen.status_code, waiting(sale), waiting(other)) == (403, 1, 0)
