"""Tickets: signed by the shop, for one shopper and one sale, without an end."""

import base64
import string

import pytest

from flashsale.http.shoppers import new_shopper
from orders import tickets

SALE = 7
ANNA, BEN = new_shopper(), new_shopper()


def test_a_ticket_carries_the_purchase_that_it_was_made_for() -> None:
    purchase = tickets.new_purchase(SALE)
    assert tickets.purchase_on(tickets.ticket_for(purchase, ANNA), SALE, ANNA) == purchase


def test_a_ticket_is_nobody_elses() -> None:
    assert tickets.purchase_on(tickets.issue(SALE, ANNA), SALE, BEN) is None


def test_a_ticket_is_for_no_other_sale() -> None:
    assert tickets.purchase_on(tickets.issue(SALE, ANNA), SALE + 1, ANNA) is None


@pytest.mark.parametrize("at", range(43))
def test_a_ticket_with_another_letter_is_forged(at: int) -> None:
    """Also a change of surplus bits."""
    ticket = tickets.issue(SALE, ANNA)
    for letter in set(string.ascii_letters + string.digits + "-_+/") - {ticket[at]}:
        forged = ticket[:at] + letter + ticket[at + 1 :]
        assert tickets.purchase_on(forged, SALE, ANNA) is None


@pytest.mark.parametrize("extra", ["=", " ", "\n", '"', "<", "A", "é", "\0"])
def test_a_ticket_with_a_letter_more_is_forged(extra: str) -> None:
    ticket = tickets.issue(SALE, ANNA)
    for forged in (ticket + extra, extra + ticket, ticket[:9] + extra + ticket[9:]):
        assert tickets.purchase_on(forged, SALE, ANNA) is None


@pytest.mark.parametrize("size", [0, 1, 16, 42])
def test_half_a_ticket_is_none(size: int) -> None:
    assert tickets.purchase_on(tickets.issue(SALE, ANNA)[:size], SALE, ANNA) is None


def test_a_purchase_without_a_signature_is_no_ticket() -> None:
    unsigned = base64.urlsafe_b64encode(tickets.new_purchase(SALE).bytes + bytes(16)).rstrip(b"=")
    assert tickets.purchase_on(unsigned.decode(), SALE, ANNA) is None


@pytest.mark.parametrize("sale", [1, 255, 2**31, 2**32 - 1])
def test_a_purchase_names_its_sale(sale: int) -> None:
    assert tickets.sale_of(tickets.new_purchase(sale)) == sale


def test_a_purchase_id_is_a_uuid_of_our_own_layout() -> None:
    purchase = tickets.new_purchase(SALE)
    assert (purchase.version, purchase.variant) == (8, "specified in RFC 4122")


def test_no_two_purchases_are_the_same() -> None:
    assert len({tickets.new_purchase(SALE) for _ in range(10_000)}) == 10_000
