"""What was bought is read from orders once, and from the card where there is none."""

import asyncio
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError
from django.utils.safestring import mark_safe

from inventory.gate.entries import Answer
from storefront import bought, remembered
from storefront.bought import Bought
from storefront.catalogue import ProductCard, SaleCard, VariantCard

SHOES = ProductCard(1, "Walker", mark_safe(""), mark_safe(""), ())
SHOE = VariantCard("shoe", "Walker", "39", 2500, "USD", 1, 1, SHOES)
CARD = SaleCard(7, "drop", "Drop", "live", 0, 2**41, "UTC", 1, 1, False, (SHOE,))
ON_CARD = Bought("Walker", "39", 2500, "USD")
IN_ORDER = Bought("Runner", "42", 12900, "EUR")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bought._orders, "_kept", {})
    monkeypatch.setattr(bought._orders, "_ask_again_at", 0.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The purchases about which PostgreSQL was asked."""
    asked: list[UUID] = []

    def read(purchases: list[UUID]) -> dict[UUID, Bought]:
        asked.extend(purchases)
        return dict.fromkeys(purchases, IN_ORDER)

    monkeypatch.setattr(bought._orders, "_read", read)
    return asked


def recalled(purchase: UUID, status: str = "confirmed", sku: str = "shoe") -> Bought | None:
    answers = {purchase: Answer(status, "", uuid4().hex, sku, 1)}
    return asyncio.run(bought.recall(CARD, answers))[purchase]


def test_an_order_is_read_once(asked: list[UUID]) -> None:
    purchase = uuid4()
    assert [recalled(purchase), recalled(purchase)] == [IN_ORDER, IN_ORDER]
    assert asked == [purchase]


def test_a_purchase_that_waits_is_on_the_card_and_asks_nobody(asked: list[UUID]) -> None:
    assert recalled(uuid4(), "queued") == ON_CARD
    assert recalled(uuid4(), "queued", sku="hat") is None
    assert asked == []


def test_without_postgresql_pages_say_what_the_card_says_and_do_not_ask_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[UUID] = []

    def fail(purchases: list[UUID]) -> dict[UUID, Bought]:
        failures.extend(purchases)
        raise OperationalError("away")

    monkeypatch.setattr(bought._orders, "_read", fail)
    monkeypatch.setattr(remembered, "_PAUSE", 3600.0)
    purchase = uuid4()
    assert [recalled(purchase), recalled(purchase)] == [ON_CARD, ON_CARD]
    assert failures == [purchase]


def test_no_more_is_kept_than_fits(asked: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST_KEPT", 2)
    for _ in range(5):
        recalled(uuid4())
    assert len(bought._orders._kept) <= 2
