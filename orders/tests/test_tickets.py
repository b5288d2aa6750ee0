"""Tickets: signed by the shop, for one shopper and one sale, without an end."""

import base64
import hmac
import string

import pytest
from django.conf import settings

from flashsale.http.shoppers import new_shopper
from flashsale.http.signing import _derive
from orders import tickets

SALE = 7
SHOWN = b"12345678"
ANNA, BEN = new_shopper(), new_shopper()


def test_a_ticket_carries_its_purchase_and_what_its_form_shows() -> None:
    purchase = tickets.new_purchase(SALE)
    ticket = tickets.ticket_for(purchase, ANNA, SHOWN)
    assert tickets.read_ticket(ticket, SALE, ANNA) == (purchase, SHOWN)


def test_a_ticket_of_version_0_1_0_stays_genuine_and_does_not_say_what_its_form_showed() -> None:
    purchase = tickets.new_purchase(SALE)
    key = _derive(settings.SECRET_KEY, "ticket")
    signature = hmac.digest(key, purchase.bytes + ANNA.bytes, "sha256")[:16]
    ticket = base64.urlsafe_b64encode(purchase.bytes + signature).rstrip(b"=").decode()
    assert len(ticket) == 43
    assert tickets.read_ticket(ticket, SALE, ANNA) == (purchase, b"")
    assert tickets.read_ticket(ticket, SALE, BEN) is None


def test_what_a_form_shows_is_of_another_ticket_forged() -> None:
    """Whole parts exchanged, or left out."""
    purchase = tickets.new_purchase(SALE)
    raw, other = (
        base64.urlsafe_b64decode(tickets.ticket_for(purchase, ANNA, shown) + "==")
        for shown in (SHOWN, b"87654321")
    )
    for forged in (raw[:16] + other[16:24] + raw[24:], raw[:16] + raw[24:]):
        text = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
        assert tickets.read_ticket(text, SALE, ANNA) is None


def test_a_ticket_is_nobody_elses() -> None:
    assert tickets.read_ticket(tickets.issue(SALE, ANNA, SHOWN), SALE, BEN) is None


def test_a_ticket_is_for_no_other_sale() -> None:
    assert tickets.read_ticket(tickets.issue(SALE, ANNA, SHOWN), SALE + 1, ANNA) is None


@pytest.mark.parametrize("at", range(54))
def test_a_ticket_with_another_letter_is_forged(at: int) -> None:
    """Also a change of surplus bits."""
    ticket = tickets.issue(SALE, ANNA, SHOWN)
    for letter in set(string.ascii_letters + string.digits + "-_+/") - {ticket[at]}:
        forged = ticket[:at] + letter + ticket[at + 1 :]
        assert tickets.read_ticket(forged, SALE, ANNA) is None


@pytest.mark.parametrize("extra", ["=", " ", "\n", '"', "<", "A", "é", "\0"])
def test_a_ticket_with_a_letter_more_is_forged(extra: str) -> None:
    ticket = tickets.issue(SALE, ANNA, SHOWN)
    for forged in (ticket + extra, extra + ticket, ticket[:9] + extra + ticket[9:]):
        assert tickets.read_ticket(forged, SALE, ANNA) is None


@pytest.mark.parametrize("size", [0, 1, 16, 42, 43, 53])
def test_half_a_ticket_is_none(size: int) -> None:
    assert tickets.read_ticket(tickets.issue(SALE, ANNA, SHOWN)[:size], SALE, ANNA) is None


def test_a_purchase_without_a_signature_is_no_ticket() -> None:
    for zeros in (16, 24):
        raw = tickets.new_purchase(SALE).bytes + bytes(zeros)
        unsigned = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        assert tickets.read_ticket(unsigned, SALE, ANNA) is None


@pytest.mark.parametrize("sale", [1, 255, 2**31, 2**32 - 1])
def test_a_purchase_names_its_sale(sale: int) -> None:
    assert tickets.sale_of(tickets.new_purchase(sale)) == sale


def test_a_purchase_id_is_a_uuid_of_our_own_layout() -> None:
    purchase = tickets.new_purchase(SALE)
    assert (purchase.version, purchase.variant) == (8, "specified in RFC 4122")


def test_no_two_purchases_are_the_same() -> None:
    assert len({tickets.new_purchase(SALE) for _ in range(10_000)}) == 10_000
