"""Wherever a process dies under load: what was accepted is answered once, and the books balance."""

import socket
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.models import Sale
from orders import reconciliation, settlement, stock_changes
from orders.draws import ranking, seed
from orders.models import Draw
from tests import stack
from tests.cast import bring_draw_forward, end_holds, hears_the_bell, owned_units, queue_up, skus
from tests.faults import crashing
from tests.faults.crashing import POINTS
from tests.load import BURST, Load

pytestmark = pytest.mark.usefixtures("impatient_shoppers")

# One of each kind is tried with every change; `./check deep` tries all.
USUAL = {"after_admit", "before_commit", "scripts_are_loaded", "losers_are_written"}

HELD = 25  # in batches of ten, in the process that dies
UNITS = 5000  # more than they will ask for: who is refused reaches no point


def points(phase: str) -> list[Any]:
    return [
        pytest.param(point, marks=() if point in USUAL else pytest.mark.deep)
        for point in crashing.of(phase)
    ]


@pytest.fixture(scope="module")
def door() -> Iterator[socket.socket]:
    """Where shoppers knock. It stays while servers come and go, as under `manage.py up`."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        yield listening


@pytest.fixture(scope="class")
def worker() -> Iterator[None]:
    with crashing.worker():
        yield


@pytest.fixture(scope="class")
def web(door: socket.socket) -> Iterator[None]:
    with crashing.server(door):
        yield


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("point", points(crashing.SERVING))
class TestServers:
    def test_may_die(self, make_sale: MakeSale, door: socket.socket, point: str) -> None:
        sale = make_sale(stock=UNITS)
        with crashing.server(door, POINTS[point]) as doomed, Load(url(door), sale) as load:
            assert crashing.killed(doomed)
            with crashing.server(door):
                assert load.faults() == {}


@pytest.mark.deep
def test_without_a_caretaker_a_lost_bell_would_strand_them(
    make_sale: MakeSale, door: socket.socket
) -> None:
    sale, point = make_sale(stock=UNITS), POINTS["before_the_bell_is_published"]
    with (
        crashing.worker(without="orders.caretaker.settle_waiting"),
        crashing.server(door, point) as doomed,
        Load(url(door), sale, patience=2) as load,
    ):
        assert crashing.killed(doomed)
        with crashing.server(door):
            assert "unanswered" in load.faults()


@pytest.mark.usefixtures("web")
class TestWorkers:
    @pytest.mark.parametrize("point", points(crashing.SETTLING))
    def test_may_die(self, make_sale: MakeSale, door: socket.socket, point: str) -> None:
        sale = make_sale(stock=UNITS)
        with crashing.worker(POINTS[point]) as doomed, Load(url(door), sale) as load:
            assert crashing.killed(doomed)
            with crashing.worker():
                assert load.faults() == {}

    @pytest.mark.parametrize("point", points(crashing.REBUILDING))
    def test_may_die_in_a_rebuild(
        self, make_sale: MakeSale, door: socket.socket, point: str
    ) -> None:
        sale = make_sale(stock=UNITS)
        with crashing.worker(POINTS[point]) as doomed, Load(url(door), sale) as load:
            stack.wait_for(hears_the_bell, "the worker listens")
            stack.wait_for(lambda: sale.orders.count() > 2 * BURST, "there is much to tell")
            forget(sale)
            assert crashing.killed(doomed)
            with crashing.worker():
                assert load.faults() == {}


@pytest.mark.parametrize("point", crashing.of(crashing.EXPIRING))
def test_a_worker_may_die_while_holds_expire(make_sale: MakeSale, point: str) -> None:
    sale = make_sale(stock=HELD, hold=10)
    queue_up(sale, HELD)
    settlement.settle(sale.pk)
    end_holds(sale)
    with crashing.worker(POINTS[point]) as doomed:
        assert crashing.killed(doomed)
    with crashing.worker():
        stack.wait_for(lambda: not sale.orders.filter(status="held").exists(), "all have expired")
        stack.wait_for(lambda: replica.read_view(sale.pk).stock == stock_of(sale), "the gate knows")
    moved = sale.variants.get().movements.filter(reason="expired")
    assert sum(moved.values_list("delta", flat=True)) == HELD
    assert owned_units(sale) == 0
    assert reconciliation.verify(sale.pk).faults == {}


@pytest.mark.parametrize("point", points(crashing.DRAWING))
def test_a_worker_may_die_during_a_draw(make_sale: MakeSale, point: str) -> None:
    """It goes on to the same ranks and outcomes."""
    sale = make_sale({"shoe": 4, "bag": 3}, limit=3, hold=10, draw_in=60, standby=True)
    for sku in skus(sale):
        for quantity in (1, 2, 3):
            queue_up(sale, 4, sku=sku, quantity=quantity)
    settlement.settle(sale.pk)
    drawn = Draw.objects.get(pk=sale.pk)
    secret = seed.open_sealed(drawn.sealed_seed, drawn.commitment)
    entries = {order.pk: order for order in sale.orders.all()}
    order = ranking.order_by_rank(secret, b"", entries)
    ranked = [(entry, entries[entry].sku, entries[entry].quantity) for entry in order]
    stock = stock_of(sale)
    bring_draw_forward(sale)
    with crashing.worker(POINTS[point]) as doomed:
        assert crashing.killed(doomed)
    with crashing.worker():
        stack.wait_for(lambda: is_done(sale), "the draw is done")
        stack.wait_for(lambda: is_told(sale), "the gate knows")
    assert sorted(entries, key=place_of(sale)) == order
    winners = {order.pk for order in sale.orders.all() if order.owned}
    assert winners == set(ranking.winners(ranked, stock))
    assert reconciliation.verify(sale.pk).faults == {}


def is_done(sale: Sale) -> bool:
    sale.refresh_from_db()
    return sale.draw == Sale.Draw.DONE


def is_told(sale: Sale) -> bool:
    sale.refresh_from_db()
    return replica.read_view(sale.pk).version == sale.version


def place_of(sale: Sale) -> Callable[[UUID], int]:
    places = dict(sale.orders.values_list("pk", "place"))
    return lambda order: places[order] or 0


@pytest.mark.parametrize("point", points(crashing.ON_STANDBY))
def test_a_worker_may_die_while_standby_is_served(make_sale: MakeSale, point: str) -> None:
    sale = make_sale(stock=1, hold=10, standby=True)
    queue_up(sale, HELD + 1)
    settlement.settle(sale.pk)
    stock_changes.restock(sale.variants.get().pk, HELD - 2, by="staff")
    with crashing.worker(POINTS[point]) as doomed:
        assert crashing.killed(doomed)
    with crashing.worker():
        stack.wait_for(lambda: owned_units(sale) == HELD - 1, "all units are given")
        stack.wait_for(lambda: is_told(sale), "the gate knows")
    assert reconciliation.verify(sale.pk).faults == {}


def stock_of(sale: Sale) -> dict[str, int]:
    return dict(sale.variants.values_list("sku", "stock"))


def url(door: socket.socket) -> str:
    host, port = door.getsockname()
    return f"http://{host}:{port}"


def forget(sale: Sale) -> None:
    """Redis comes back from an old copy: it knows the line, and no more what became of its purchases."""
    replica.empty_gate(sale.pk)
    blocking_clients.client_of(0).script_flush()
