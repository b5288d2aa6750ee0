"""The outcome's fragment: rendered once for all shoppers, again when the sale's card changes."""

from dataclasses import replace
from uuid import UUID

import pytest
from django.utils.safestring import mark_safe

from inventory.gate.entries import Answer
from storefront import outcome_fragment
from storefront.catalogue import ProductCard, SaleCard, VariantCard
from storefront.outcome_fragment import render_outcome

SHOES = ProductCard(1, "Shoe", mark_safe(""), mark_safe(""), ())
SHOE = VariantCard("shoe", "Shoe", "42", 12900, "EUR", 5, 5, SHOES)
FIRST, SECOND = UUID(int=1), UUID(int=2)


@pytest.fixture
def card() -> SaleCard:
    return SaleCard(7, "drop", "Drop", "live", 0, 2**41, "UTC", 1, 1, False, (SHOE,))


def answered(status: str, shopper: str = "a", quantity: int = 1) -> Answer:
    return Answer(status, "", shopper, "shoe", quantity)


def test_the_same_answer_to_two_shoppers_is_rendered_once(card: SaleCard) -> None:
    first = render_outcome(card, "en", FIRST, answered("confirmed", "a"))
    second = render_outcome(card, "en", SECOND, answered("confirmed", "b"))
    assert second.decode() == first.decode().replace(str(FIRST), str(SECOND))
    assert len(card.fragments) == 1


def test_the_form_of_a_queued_purchase_holds_its_own_ticket(card: SaleCard) -> None:
    first, second = (
        render_outcome(card, "en", FIRST, answered("queued"), ticket=ticket).decode()
        for ticket in ("ticket-a", "ticket-b")
    )
    assert 'value="ticket-a"' in first
    assert 'value="ticket-b"' in second


def test_a_socket_gets_the_fragment_that_replaces_the_box(card: SaleCard) -> None:
    render_outcome(card, "en", FIRST, answered("confirmed"))
    frame = render_outcome(card, "en", FIRST, answered("confirmed"), swap=True).decode()
    assert 'hx-swap-oob="true"' in frame


def test_a_new_name_is_in_the_next_outcome(card: SaleCard) -> None:
    render_outcome(card, "en", FIRST, answered("confirmed"))
    renamed = replace(card, variants=(replace(SHOE, name="Boot"),))
    assert "Boot" in render_outcome(renamed, "en", FIRST, answered("confirmed")).decode()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("confirmed", "Your details"),
        ("expired", "What became of your payment"),
        ("cancelled", "What became of your payment"),
    ],
)
def test_a_decided_order_leads_to_what_the_checkout_knows_of_it(
    card: SaleCard, status: str, words: str
) -> None:
    link = f'<a href="/orders/{FIRST}/checkout/">{words}</a>'
    assert link not in render_outcome(card, "en", FIRST, answered(status)).decode()
    paid = replace(card, hold_minutes=10, ask="address", payment="demo")
    assert link in render_outcome(paid, "en", FIRST, answered(status)).decode()


def test_the_cache_is_bounded(card: SaleCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_fragment, "_MOST_KEPT", 3)
    for quantity in range(1, 9):
        render_outcome(card, "en", FIRST, answered("confirmed", quantity=quantity))
        assert len(card.fragments) <= 3
