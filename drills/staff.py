"""Simulated staff of a private shop: they restock, cancel orders and run the reconciliation meanwhile."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis
from django.db import DatabaseError, connection

from drills.private_shop import BackgroundWork
from flashsale.database import drop_broken_connections
from inventory.models import Sale, Variant
from orders import cancellation, changes, reconciliation, stock_changes
from orders.models import Order

EVERY = 0.5  # seconds
LOW, MORE = 300, 700  # units of a variant: restock below LOW, by MORE
_BY = "drill"

logger = logging.getLogger(__name__)


@dataclass
class StaffLog:
    """Everything that the staff did and found."""

    reads: int = 0
    restocked: int = 0
    cancelled: int = 0
    refused: int = 0  # cancellations of orders that own nothing any more
    away: int = 0  # actions that failed because a server was away
    faults: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class Staff:
    """Acts in a thread, until `stop`."""

    def __init__(self, sale: Sale, every: float = EVERY) -> None:
        """Each action is done `every` so many seconds."""
        self.log = StaffLog()
        self._sale, self._every = sale, every

    def start(self) -> None:
        self._work = BackgroundWork(self._run, "staff")

    def stop(self) -> None:
        """Stop, and raise the thread's own error, if it had one."""
        self._work.stop()

    def _run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.wait(self._every):
                for act in (self._reconcile, self._restock, self._cancel_one):
                    with self._servers_may_be_away():
                        act()
        finally:
            connection.close()

    @contextmanager
    def _servers_may_be_away(self) -> Iterator[None]:
        """Skip an action whose server is away: the next round repeats it, and the caretaker replicates a
        committed change that did not reach Redis."""
        try:
            yield
        except (DatabaseError, redis.RedisError, changes.NotReplicated) as error:
            logger.debug("skipped until the next round: %s", error)
            self.log.away += 1
            drop_broken_connections()

    def _reconcile(self) -> None:
        report = reconciliation.Report()
        reconciliation.check_rules(self._sale.pk, report)
        self.log.reads += 1
        for kind, found in report.faults.items():
            self.log.faults.setdefault(kind, []).extend(found)

    def _restock(self) -> None:
        for variant in Variant.objects.filter(listings__sale=self._sale, stock__lt=LOW):
            stock_changes.restock(variant.pk, MORE, by=_BY)
            self.log.restocked += 1

    def _cancel_one(self) -> None:
        owning = Order.objects.filter(sale=self._sale, owned__gt=0)
        latest = owning.order_by("-version").first()
        if latest is not None and cancellation.cancel_order(latest.pk, by=_BY, reason="a drill"):
            self.log.cancelled += 1
