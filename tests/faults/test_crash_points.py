"""Wherever a process dies under load: what was accepted is answered once, and the books balance."""

import asyncio
import itertools
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest

from conftest import MakeSale
from drills import consistency
from drills.shopper import Log, Shopper, Site
from flashsale import redis_clients
from inventory import gate
from inventory.models import Sale
from orders import books
from tests import stack
from tests.faults import crashing
from tests.faults.crashing import POINTS

BURST = 6  # shoppers who come together
MOST = 8 * BURST  # who wait at the same time: a slow machine is not to be buried
BETWEEN_BURSTS = (
    0.25  # seconds: longer than a settlement lingers, so that each burst rings the bell
)
CROWD = 4 * BURST  # before and after the death, at least
UNITS = 5000  # more than they will ask for: who is refused reaches no point


@pytest.fixture(autouse=True)
def impatient_shoppers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They ask as pages do, only sooner."""
    for name, seconds in {"RETRY": 0.1, "LONGEST_RETRY": 0.4, "SOON": 0.1, "POLL": 0.4}.items():
        monkeypatch.setattr(f"drills.shopper.{name}", seconds)


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
@pytest.mark.parametrize("point", crashing.of(crashing.SERVING))
class TestServers:
    def test_may_die(self, make_sale: MakeSale, door: socket.socket, point: str) -> None:
        sale = make_sale(stock=UNITS)
        with crashing.server(door, POINTS[point]) as doomed, Load(door, sale) as load:
            assert crashing.killed(doomed)
            with crashing.server(door):
                assert load.faults() == {}


def test_without_a_caretaker_a_lost_bell_would_strand_them(
    make_sale: MakeSale, door: socket.socket
) -> None:
    sale, point = make_sale(stock=UNITS), POINTS["before_the_bell_is_published"]
    with (
        crashing.worker(without="orders.caretaker.settle_waiting"),
        crashing.server(door, point) as doomed,
        Load(door, sale, patience=2) as load,
    ):
        assert crashing.killed(doomed)
        with crashing.server(door):
            assert "unanswered" in load.faults()


@pytest.mark.usefixtures("web")
class TestWorkers:
    @pytest.mark.parametrize("point", crashing.of(crashing.SETTLING))
    def test_may_die(self, make_sale: MakeSale, door: socket.socket, point: str) -> None:
        sale = make_sale(stock=UNITS)
        with crashing.worker(POINTS[point]) as doomed, Load(door, sale) as load:
            assert crashing.killed(doomed)
            with crashing.worker():
                assert load.faults() == {}

    @pytest.mark.parametrize("point", crashing.of(crashing.REBUILDING))
    def test_may_die_in_a_rebuild(
        self, make_sale: MakeSale, door: socket.socket, point: str
    ) -> None:
        sale = make_sale(stock=UNITS)
        with crashing.worker(POINTS[point]) as doomed, Load(door, sale) as load:
            stack.wait_for(hears_the_bell, "the worker listens")
            stack.wait_for(lambda: sale.orders.count() > 2 * BURST, "there is much to tell")
            forget(sale)
            assert crashing.killed(doomed)
            with crashing.worker():
                assert load.faults() == {}


def hears_the_bell() -> bool:
    return any(client["cmd"] == "brpop" for client in redis_clients.blocking().client_list())


def forget(sale: Sale) -> None:
    """Redis comes back from an old copy: it knows the line, and no more what became of its purchases."""
    gate.empty(sale.pk)
    redis_clients.blocking().script_flush()


class Load:
    """Bursts of shoppers, who buy one unit each and do not leave before they have their answer. They
    come from a thread of its own, until somebody asks for the faults."""

    def __init__(self, door: socket.socket, sale: Sale, patience: float = stack.DEADLINE) -> None:
        self._patience = patience
        host, port = door.getsockname()
        self._site, self._sale = Site(f"http://{host}:{port}"), sale
        self._before = consistency.stock_of(sale)
        self._over = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self._logs: list[Log] = []

    def __enter__(self) -> Self:
        self._shopping = self._thread.submit(asyncio.run, self._shop())
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.shutdown()

    async def _shop(self) -> None:
        visits: list[asyncio.Task[None]] = []
        while not self._over.is_set():
            if sum(not visit.done() for visit in visits) < MOST:
                visits += [asyncio.create_task(self._visit()) for _ in range(BURST)]
            await asyncio.sleep(BETWEEN_BURSTS)
        _, late = await asyncio.wait(visits, timeout=self._patience)
        for visit in late:
            visit.cancel()  # what it waits for is a fault
        for visit in visits:
            if visit not in late:
                visit.result()

    async def _visit(self) -> None:
        shopper = Shopper(self._site, self._sale.slug)
        self._logs.append(shopper.log)
        try:
            while not (page := await shopper.look()):
                await shopper.pause(0.1)
            await shopper.buy(page.forms[0])
            await shopper.outcomes()
        finally:
            await shopper.leave()

    def faults(self) -> dict[str, list[Any]]:
        """What is wrong, by kind, when everybody has had an answer."""
        stack.wait_for(lambda: len(self._logs) >= CROWD, "a crowd has come")
        self._over.set()
        self._shopping.result()
        accepted = {purchase for log in self._logs for purchase in log.accepted}
        faults: dict[str, list[Any]] = defaultdict(list, books.verify(self._sale.pk).faults)
        told = consistency.Books.read(self._sale, self._before, self._logs)
        for fault in consistency.faults_in(self._logs, told):
            faults[fault.kind].append(fault.what)
        if len(accepted) < len(self._logs):
            faults["did_not_get_to_buy"].append(len(self._logs) - len(accepted))
        if told.orders.keys() != accepted or self._sale.orders.count() != len(accepted):
            faults["accepted_is_not_the_orders"].append(len(accepted))
        if not decided_in_order(self._sale):
            faults["decided_out_of_order"].append(self._sale.slug)
        return faults


def decided_in_order(sale: Sale) -> bool:
    """Whether no purchase was decided in an earlier batch than one that was accepted before it."""
    batches = [order.version for order in sale.orders.order_by("accepted_at", "version")]
    return all(batch <= later for batch, later in itertools.pairwise(batches))
