"""Staff of a private shop, while shoppers buy in it: they restock and cancel, and read the books."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis
from django.db import DatabaseError, connection

from drills.private_shop import Worker
from flashsale.database import drop_broken_connections
from inventory.models import Product, Sale
from orders import cancellation, changes, reconciliation, stock_changes
from orders.models import Order

EVERY = 0.5  # seconds
LOW, MORE = 300, 700  # units of a product: when it is restocked, and with how many
_BY = "drill"

log = logging.getLogger(__name__)


@dataclass
class Seen:
    """What staff have done and read."""

    reads: int = 0
    restocked: int = 0
    cancelled: int = 0
    away: int = 0  # times that a server was not there
    faults: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class Staff:
    """Works in a thread of its own until `stop`."""

    def __init__(self, sale: Sale, every: float = EVERY) -> None:
        """`every` so many seconds each thing is done."""
        self.seen = Seen()
        self._sale, self._every = sale, every

    def start(self) -> None:
        self._worker = Worker(self._run, "staff")

    def stop(self) -> None:
        """Raises what has gone wrong with the staff, rather than with the shop."""
        self._worker.stop()

    def _run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.wait(self._every):
                for work in (self._read_the_books, self._restock, self._cancel_one):
                    with self._where_it_is_there():
                        work()
        finally:
            connection.close()

    @contextmanager
    def _where_it_is_there(self) -> Iterator[None]:
        """What could not be done is done the next time; what is committed untold, the caretaker tells."""
        try:
            yield
        except (DatabaseError, redis.RedisError, changes.NotReplicated) as error:
            log.debug("left for the next time: %s", error)
            self.seen.away += 1
            drop_broken_connections()

    def _read_the_books(self) -> None:
        report = reconciliation.Report()
        reconciliation.check_rules(self._sale.pk, report)
        self.seen.reads += 1
        for kind, found in report.faults.items():
            self.seen.faults.setdefault(kind, []).extend(found)

    def _restock(self) -> None:
        for product in Product.objects.filter(listings__sale=self._sale, stock__lt=LOW):
            stock_changes.restock(product.pk, MORE, by=_BY)
            self.seen.restocked += 1

    def _cancel_one(self) -> None:
        owning = Order.objects.filter(sale=self._sale, owned__gt=0)
        latest = owning.order_by("-version").first()
        if latest is not None and cancellation.cancel_order(latest.pk, by=_BY, reason="a drill"):
            self.seen.cancelled += 1
