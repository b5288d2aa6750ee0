"""A ticket is good for the shopper and the sale that it was made for; of others nothing is learned."""

import re
from collections.abc import Callable
from uuid import UUID

import httpx
import pytest

from conftest import MakeSale
from flashsale.http import shoppers
from inventory.models import Sale
from orders import tickets
from tests.cast import HTMX, JSON, PAGE, Shopper, forms, shown_in, skus
from tests.contract.fates import decided
from tests.contract.shapes import SHAPES, boxes, buy, in_each_shape, location, state

NewShopper = Callable[[], Shopper]

FOREIGN: dict[str, Callable[[Sale, Shopper, MakeSale], str]] = {
    "missing": lambda sale, shopper, make_sale: "",
    "forged": lambda sale, shopper, make_sale: forged(shopper.ticket(sale)),
    "of another purchase": lambda sale, shopper, make_sale: other_purchase(shopper.ticket(sale)),
    "another shopper's": lambda sale, shopper, make_sale: Shopper(shopper.url).ticket(sale),
    "of another sale": lambda sale, shopper, make_sale: shopper.ticket(make_sale()),
    "of another form": lambda sale, shopper, make_sale: other_form(shopper.ticket(sale)),
    "over-long": lambda sale, shopper, make_sale: shopper.ticket(sale) + "A" * 2000,
    "with a word put in": lambda sale, shopper, make_sale: put_in(shopper.ticket(sale), '"><!--'),
    "not ASCII": lambda sale, shopper, make_sale: "\uff11" * 54,
}


def forged(ticket: str) -> str:
    """With another signature."""
    return ticket[:40] + ("B" if ticket[40] == "A" else "A") + ticket[41:]


def other_form(ticket: str) -> str:
    """With another digest of what its form showed."""
    return ticket[:26] + ("B" if ticket[26] == "A" else "A") + ticket[27:]


def put_in(ticket: str, word: str) -> str:
    return ticket[:20] + word + ticket[20:]


def other_purchase(ticket: str) -> str:
    """With the signature of another purchase."""
    return ticket[:12] + ("B" if ticket[12] == "A" else "A") + ticket[13:]


def needs_ticket(reply: httpx.Response, shape: str, sale: Sale) -> None:
    if shape == "json":
        assert (reply.status_code, reply.json()) == (403, {"error": "ticket"})
    elif shape == "htmx":
        assert (reply.status_code, 'data-code="ticket"' in reply.text) == (403, True)
    else:
        assert location(reply) == f"/sales/{sale.slug}/?message=ticket"


@pytest.mark.parametrize("ticket", FOREIGN)
def test_a_form_that_was_not_made_for_its_shopper_buys_nothing(
    ticket: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    shopper.sale(sale)  # its cookie comes with a page: without one there is another answer
    made = FOREIGN[ticket](sale, shopper, make_sale)
    before = state(sale)
    for shape in SHAPES:
        needs_ticket(buy(shopper, sale, shape, made), shape, sale)
    assert state(sale) == before


def test_a_form_with_a_forged_cookie_buys_nothing(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    ticket = shopper.ticket(sale)
    shopper.client.cookies.clear()
    for cookie in ("", "nonsense", "A" * 44, "A" * 9000, "é"):
        reply = shopper.client.post(
            f"/sales/{sale.slug}/buy",
            data={"ticket": ticket, "product": skus(sale)[0]},
            headers=[(b"accept", b"application/json"), (b"cookie", f"shopper={cookie}".encode())],
        )
        needs_ticket(reply, "json", sale)


@in_each_shape
@pytest.mark.parametrize("fate", ["confirmed", "sold out"])
def test_a_strangers_ticket_is_answered_like_a_forged_one(
    fate: str, shape: str, shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided(fate, shopper, make_sale)
    thief = new_shopper()
    thief.sale(sale)
    theirs, made_up = (buy(thief, sale, shape, t, quantity=2) for t in (ticket, forged(ticket)))
    assert same(theirs) == same(made_up)


def same(reply: httpx.Response) -> tuple[int, dict[str, str], str]:
    """A reply but for the fresh ticket in it."""
    headers = {k: v for k, v in reply.headers.items() if k not in ("date", "set-cookie")}
    text = re.sub(r'(purchase-|name="ticket" value=")[\w-]+', r"\1", reply.text)
    return reply.status_code, headers, text


@pytest.mark.parametrize("known", [True, False], ids=["known shopper", "new shopper"])
def test_the_fresh_form_that_a_page_gets_buys(
    known: bool, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    if known:
        shopper.sale(sale)
    reply = shopper.buy(sale, "forged", HTMX)
    assert ("set-cookie" in reply.headers) != known
    assert (
        f'<section id="buy-{skus(sale)[0]}"' in reply.text
    )  # the page puts it in the old one's place
    [form] = forms(reply.text)
    assert shopper.buy(sale, headers=HTMX, **form).status_code == 202


def test_the_page_that_a_plain_form_is_sent_back_to_has_a_form_that_buys(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    back = shopper.buy(sale, "forged", PAGE).headers["location"]
    page = shopper.client.get(back, headers=PAGE)
    assert 'data-code="ticket"' in page.text
    [form] = forms(page.text)
    assert shopper.buy(sale, headers=PAGE, **form).headers["location"].startswith("/orders/")


def test_a_forged_ticket_for_an_unknown_variant_leaves_the_page_as_it_is(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    reply = shopper.buy(make_sale(), "forged", HTMX, product="<b>nothing</b>")
    assert (reply.status_code, boxes(reply)) == (403, [])
    assert reply.headers["hx-reswap"] == "innerHTML"
    assert "nothing" not in reply.text


def test_a_purchase_stays_with_whom_it_was_accepted_for_whatever_another_ticket_says(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    purchase = tickets.new_purchase(sale.pk)

    def click(who: UUID) -> httpx.Response:
        return httpx.post(
            f"{shopper.url}/sales/{sale.slug}/buy",
            data={
                "ticket": tickets.ticket_for(purchase, who, shown_in(sale.pk)),
                "product": skus(sale)[0],
            },
            headers={**JSON, "Cookie": f"shopper={shoppers.cookie_value(who)}"},
        )

    assert click(shoppers.new_shopper()).status_code == 202
    assert click(shoppers.new_shopper()).json() == {"error": "ticket"}
