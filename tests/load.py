"""Shoppers as a drill simulates them, for tests in which something happens meanwhile."""

import asyncio
import itertools
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx

from drills import log_check
from drills.http import Site
from drills.shopper import Shopper
from drills.shopper_log import Log
from inventory.models import Sale
from orders import reconciliation
from tests import deadlines, stack
from tests.cast import PAGE

BURST = 6  # shoppers who come together
MOST = 8 * BURST  # who wait at the same time: a slow machine is not to be buried
BETWEEN_BURSTS = (
    0.25  # seconds: longer than a settlement lingers, so that each burst rings the bell
)
CROWD = 4 * BURST  # before and after the death, at least


class Load:
    """Bursts of shoppers, who buy one unit each and do not leave before they have their answer. They
    come from a thread of its own, until somebody asks for the faults."""

    def __init__(
        self, url: str, sale: Sale, patience: float = stack.DEADLINE, *, sockets: bool = False
    ) -> None:
        self._sockets = sockets
        self._patience = patience
        self._site, self._sale = Site(url), sale
        self._before = log_check.read_stock(sale)
        self._over = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self.logs: list[Log] = []

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
        self.logs.append(shopper.log)
        try:
            while not (page := await shopper.load_page()):
                await shopper.pause(0.1)
            if self._sockets:
                shopper.open_socket()
            await shopper.buy(page.forms[0])
            await shopper.wait_for_outcomes()
        finally:
            await shopper.leave()

    def faults(self) -> dict[str, list[Any]]:
        """What is wrong, by kind, when everybody has had an answer."""
        stack.wait_for(lambda: len(self.logs) >= CROWD, "a crowd has come")
        self._over.set()
        self._shopping.result()
        accepted = {purchase for log in self.logs for purchase in log.accepted}
        faults: dict[str, list[Any]] = defaultdict(
            list, reconciliation.verify(self._sale.pk).faults
        )
        told = log_check.DatabaseState.read(self._sale, self._before, self.logs)
        for fault in log_check.find_faults(self.logs, told):
            faults[fault.kind].append(fault.what)
        if len(accepted) < len(self.logs):
            faults["did_not_get_to_buy"].append(len(self.logs) - len(accepted))
        if told.orders.keys() != accepted or self._sale.orders.count() != len(accepted):
            faults["accepted_is_not_the_orders"].append(len(accepted))
        if not decided_in_order(self._sale):
            faults["decided_out_of_order"].append(self._sale.slug)
        return faults


class Visitor:
    """Looks at pages all the time. Notes what answers are not to be, also what the proxy says by itself."""

    def __init__(self, url: str, slug: str) -> None:
        self._url, self._paths = url, ("/", f"/sales/{slug}/", "/orders/")
        self._over = threading.Event()
        self.seen: Counter[int] = Counter()
        self.odd: list[str] = []

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1)
        self._looking = self._thread.submit(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.shutdown()
        self._looking.result()

    def _look(self) -> None:
        while not self._over.is_set():
            for path in self._paths:
                self._look_at(path)

    def _look_at(self, path: str) -> None:
        """Each time a new connection: what a browser asks again by itself is not what is looked for."""
        try:
            answer = httpx.get(f"{self._url}{path}", headers=PAGE, timeout=deadlines.seconds(30))
        except httpx.HTTPError as error:
            self.odd.append(f"{path}: {error!r}")
            return
        self.seen[answer.status_code] += 1
        busy = answer.status_code == 503 and answer.headers.get("retry-after")
        ours = "x-content-type-options" in answer.headers  # not said by the proxy, who found nobody
        if answer.status_code >= 500 and not (busy and ours):
            self.odd.append(f"{path}: {answer.status_code}")


def decided_in_order(sale: Sale) -> bool:
    """Whether no purchase was decided in an earlier batch than one that was accepted before it."""
    batches = [order.version for order in sale.orders.order_by("accepted_at", "version")]
    return all(batch <= later for batch, later in itertools.pairwise(batches))
