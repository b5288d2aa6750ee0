"""Processes die at the worst moment: nothing is lost, nothing twice, and the line keeps its order."""

import pytest

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.models import Sale
from orders import reconciliation, settlement
from tests import servers, stack
from tests.cast import promise_too_much, queue_up, run_caretaker
from tests.faults import crashing


def drained(sale: Sale) -> bool:
    seen = replica.read_view(sale.pk)
    return seen.ready and seen.in_line == 0 and not seen.in_flight


@pytest.mark.parametrize("point", ["before_commit", "before_tell", "before_announcing"])
def test_a_worker_killed_in_settlement_loses_and_doubles_nothing(
    make_sale: MakeSale, point: str
) -> None:
    sale = make_sale(stock=20)
    promise_too_much(sale, 50)
    purchases = queue_up(sale, 50)
    line = [fields["purchase"] for _, fields in replica.read_line(sale.pk, 100)[2]]
    with crashing.worker(crashing.POINTS[point]._replace(hit=1)) as doomed:
        assert crashing.killed(doomed)

    with stack.worker():
        stack.wait_for(lambda: drained(sale), "the line is settled")
    orders = {order.pk.hex: order.status for order in sale.orders.all()}
    assert len(orders) == len(purchases)
    # First come, first served: the first twenty of the line have them, and nobody else.
    assert [orders[purchase] for purchase in line] == ["confirmed"] * 20 + ["rejected"] * 30
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_wiped_valkey_loses_no_order_and_sells_on(make_sale: MakeSale) -> None:
    sale = make_sale(stock=30)
    queue_up(sale, 20)
    settlement.settle(sale.pk)
    blocking_clients.client_of(0).flushall()
    with stack.worker():
        stack.wait_for(lambda: replica.read_view(sale.pk).ready, "the gate is warm again")
        assert len(queue_up(sale, 50)) == 10  # what was left, and not one more
        stack.wait_for(lambda: drained(sale), "the line is settled")
    assert sale.orders.filter(status="confirmed").count() == 30
    assert reconciliation.verify(sale.pk).faults == {}


@pytest.mark.deep
def test_accepted_purchases_survive_a_killed_valkey(make_sale: MakeSale) -> None:
    sale = make_sale(stock=30)
    purchases = queue_up(sale, 20)
    servers.VALKEY.kill()
    stack.wait_for(lambda: not servers.VALKEY.alive(), "Valkey is gone")
    servers.VALKEY.start()
    run_caretaker()
    settlement.settle(sale.pk)
    assert set(sale.orders.values_list("pk", flat=True)) == set(purchases)
    assert reconciliation.verify(sale.pk).faults == {}
