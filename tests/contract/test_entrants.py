"""A sale for people with a verified e-mail address, or with an access code: who else clicks is told where
to prove it, and nothing is bought or used up."""

import time
from collections.abc import Callable
from uuid import UUID

import httpx
import pytest

from conftest import MakeSale
from flashsale.http import proofs, shoppers
from inventory.models import Sale
from orders import sale_lifecycle
from orders.settlement import settle
from tests import stack
from tests.cast import HTMX, JSON, PAGE, Shopper
from tests.contract.shapes import WORDS, boxes, buy, in_each_shape, location, state
from tests.contract.test_cookies import keep

NewShopper = Callable[[], Shopper]
LACKS = {"email": "sign_in", "code": "no_code"}
in_each_sale = pytest.mark.parametrize("entrants", LACKS)


def id_of(shopper: Shopper) -> UUID:
    found = shoppers.shopper_in(shopper.client.cookies.get("shopper"))
    assert found
    return found


def prove(shopper: Shopper, sale: Sale, *, of: Shopper | None = None) -> None:
    """As if the shopper had signed in, or typed the code; `of` is whose proof it is."""
    shopper.sale(sale)
    number = id_of(of or shopper)
    if sale.entrants == "email":
        keep(shopper, "verified", proofs.verified_value(number))
    else:
        keep(shopper, f"code-{sale.pk}", proofs.code_value(number, sale.pk, 0))


def page_of(sale: Sale) -> str:
    slug = f"/sales/{sale.slug}/"
    return f"/sign-in/?next={slug}" if sale.entrants == "email" else f"{slug}code/"


def turned_away(reply: httpx.Response, shape: str, sale: Sale) -> None:
    code = LACKS[sale.entrants]
    if shape == "json":
        assert (reply.status_code, reply.json()) == (403, {"error": code, "see": page_of(sale)})
    elif shape == "htmx":
        assert (reply.status_code, boxes(reply)[0][1]) == (403, "refused")
        assert WORDS[code] in reply.text
        assert f'href="{page_of(sale)}"' in reply.text
    else:
        assert location(reply) == f"/sales/{sale.slug}/?message={code}"


@in_each_shape
@in_each_sale
def test_without_a_proof_nothing_is_bought_or_used_up(
    entrants: str, shape: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants=entrants)
    ticket, before = shopper.ticket(sale), state(sale)
    turned_away(buy(shopper, sale, shape, ticket), shape, sale)
    assert state(sale) == before
    prove(shopper, sale)
    assert buy(shopper, sale, "json", ticket).status_code == 202


@in_each_sale
def test_the_page_says_before_the_click_what_is_needed(
    entrants: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants=entrants, opens_in=60)
    address = f"/sales/{sale.slug}/"
    page = shopper.client.get(address, headers=PAGE).text
    assert WORDS[LACKS[entrants]] in page
    assert f'href="{page_of(sale)}"' in page
    assert shopper.client.get(address, headers=JSON).json()["entrants"] == entrants
    prove(shopper, sale)
    page = shopper.client.get(address, headers=PAGE).text
    assert WORDS[LACKS[entrants]] not in page
    assert "may buy here" in page
    german = shopper.client.get(address, headers=PAGE | {"Accept-Language": "de"}).text
    assert "du kannst hier kaufen" in german


@in_each_sale
def test_the_page_that_a_plain_form_is_sent_back_to_says_why_and_where(
    entrants: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants=entrants)
    back = location(shopper.buy(sale, headers=PAGE))
    page = shopper.client.get(back, headers=PAGE).text
    assert f'data-code="{LACKS[entrants]}"' in page
    assert f'href="{page_of(sale)}"' in page


@in_each_sale
def test_another_shoppers_proof_is_worth_nothing(
    entrants: str, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants=entrants)
    ben, anna = new_shopper(), new_shopper()
    anna.sale(sale)
    prove(ben, sale, of=anna)
    turned_away(buy(ben, sale, "json"), "json", sale)


@in_each_sale
@pytest.mark.parametrize("at", [0, 5, 10, 20])
def test_a_forged_proof_is_worth_nothing(
    entrants: str, at: int, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants=entrants)
    prove(shopper, sale)
    name = "verified" if entrants == "email" else f"code-{sale.pk}"
    value = str(shopper.client.cookies[name])
    keep(shopper, name, value[:at] + ("B" if value[at] == "A" else "A") + value[at + 1 :])
    turned_away(buy(shopper, sale, "json"), "json", sale)


@pytest.mark.parametrize("value", ["", "~", "A" * 22, "A" * 25 + "~1.000000", "A" * 9000, "é~1.0"])
def test_a_malformed_proof_is_worth_nothing(
    value: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants="email")
    cookie = f"verified={value}; shopper={shoppers.cookie_value(shoppers.new_shopper())}"
    headers = [(b"cookie", cookie.encode()), (b"accept", b"application/json")]
    answer = httpx.get(f"{shopper.url}/sales/{sale.slug}/", headers=headers)
    headers.append((b"content-type", b"application/x-www-form-urlencoded"))
    form = f"ticket={answer.json()['ticket']}&product={sale.variants.get().sku}"
    reply = httpx.post(f"{shopper.url}/sales/{sale.slug}/buy", headers=headers, content=form)
    turned_away(reply, "json", sale)


def test_a_proof_of_another_kind_or_sale_is_worth_nothing(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    for_email, for_code, other = (make_sale(entrants=e) for e in ("email", "code", "code"))
    prove(shopper, other)
    keep(shopper, f"code-{for_code.pk}", str(shopper.client.cookies[f"code-{other.pk}"]))
    keep(shopper, "verified", f"{proofs.code_value(id_of(shopper), other.pk, 0)}~1.000000")
    turned_away(buy(shopper, for_email, "json"), "json", for_email)
    turned_away(buy(shopper, for_code, "json"), "json", for_code)
    assert buy(shopper, other, "json").status_code == 202


@in_each_sale
@in_each_shape
def test_a_used_ticket_gets_its_one_answer_after_the_proof_is_gone(
    shape: str, entrants: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants=entrants)
    prove(shopper, sale)
    ticket = shopper.ticket(sale)
    assert buy(shopper, sale, "json", ticket).json()["status"] == "queued"
    for name in ("verified", f"code-{sale.pk}"):
        shopper.client.cookies.delete(name) if name in shopper.client.cookies else None
    again = buy(shopper, sale, shape, ticket)
    assert again.status_code == (303 if shape == "form" else 202)
    settle(sale.pk)
    assert buy(shopper, sale, "json", ticket).json()["status"] in ("confirmed", "rejected")
    assert buy(shopper, sale, "json", ticket, quantity=2).json()["error"] == "ticket_reused"
    turned_away(buy(shopper, sale, "json"), "json", sale)


@in_each_sale
def test_when_the_sale_is_over_no_proof_is_asked_for(
    entrants: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants=entrants)
    sale_lifecycle.end(sale.pk, by="staff")
    stack.wait_for(lambda: shopper.sale(sale)["phase"] == "ended", "the sale is over")
    assert buy(shopper, sale, "json").json() == {"status": "refused", "reason": "closed"}
    page = shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text
    assert WORDS[LACKS[entrants]] not in page


def test_a_code_with_a_window_of_its_own_opens_the_sale_later(
    new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale = make_sale(entrants="code")
    early, late = new_shopper(), new_shopper()
    prove(early, sale)
    late.sale(sale)
    soon = round((time.time() + 3600) * 1000)
    keep(late, f"code-{sale.pk}", proofs.code_value(id_of(late), sale.pk, soon))
    assert buy(early, sale, "json").status_code == 202
    refused = buy(late, sale, "json")
    assert (refused.status_code, refused.json()["reason"]) == (409, "not_open")
    page = late.client.get(f"/sales/{sale.slug}/", headers=PAGE).text
    assert "Your access code opens this sale" in page
    assert late.client.get(f"/sales/{sale.slug}/", headers=HTMX).status_code == 200


def test_a_sale_for_anyone_looks_at_no_proof(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    keep(shopper, "verified", "A" * 22 + "~1.000000")
    assert "entrants" not in shopper.sale(sale)
    assert buy(shopper, sale, "json").status_code == 202
