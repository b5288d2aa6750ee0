"""The gate never accepts more than there is, however many click at once."""

from typing import Any
from uuid import UUID

from conftest import MakeSale
from flashsale.redis import web_connections
from inventory.gate import admission, replica
from inventory.gate.entries import Verdict
from inventory.gate.scripts import keys
from tests.cast import queue_up, skus


def test_no_more_are_accepted_than_there_are_units(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    assert len(queue_up(sale, 200)) == 10
    assert replica.read_view(sale.pk).in_flight == {skus(sale)[0]: 10}


def test_its_twin_that_looks_and_counts_in_two_calls_accepts_too_many(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    assert len(queue_up(sale, 200, admit=look_then_count)) > 10


async def look_then_count(
    sale: int, purchase: UUID, shopper: UUID, sku: str, quantity: int, *args: Any, **rules: Any
) -> Verdict:
    """`admit` without the script: what it does in one call, done in two."""
    if (await admission.read_view(sale)).left(sku) < quantity:
        return Verdict("refused", reason="sold_out")
    await web_connections.send(sale, "HINCRBY", keys(sale).in_flight, sku, quantity)
    return Verdict("queued")
