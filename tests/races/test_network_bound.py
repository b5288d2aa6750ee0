"""No network gets more units than the sale allows it, however many cookies click at once."""

from functools import partial
from typing import Any
from uuid import UUID

from conftest import MakeSale
from flashsale.redis import web_connections
from inventory.gate import admission
from inventory.gate.entries import Verdict
from inventory.gate.scripts import keys
from orders import networks
from tests.cast import queue_up

BOUND = 7


def test_one_address_with_many_cookies_gets_what_one_network_may(make_sale: MakeSale) -> None:
    sale = make_sale(stock=100, per_address=BOUND)
    taken = networks.list_networks(sale.pk, "192.0.2.1")
    assert len(queue_up(sale, 200, admit=partial(admission.admit, networks=taken))) == BOUND


def test_its_twin_that_looks_and_counts_in_two_calls_gives_too_much(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1000, per_address=BOUND)
    taken = networks.list_networks(sale.pk, "192.0.2.1")
    assert len(queue_up(sale, 200, admit=partial(look_then_count, network=taken[0]))) > BOUND


async def look_then_count(
    sale: int, purchase: UUID, shopper: UUID, sku: str, quantity: int, *args: Any, **rules: Any
) -> Verdict:
    """The bound of `admit` without the script: what it does in one call, done in two."""
    counts, network = keys(sale).networks, rules["network"]
    taken = await web_connections.send(sale, "HGET", counts, network)
    if int(taken or 0) + quantity > BOUND:
        return Verdict("refused", reason="network")
    await web_connections.send(sale, "HINCRBY", counts, network, quantity)
    return Verdict("queued")
