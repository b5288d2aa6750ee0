"""Simulated staff of the drill of money: they cancel orders by a plan, and reconcile meanwhile."""

import heapq
import threading
import time
from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from drills.money_plan import Errand, list_cancellations
from drills.staff import Staff
from inventory.models import Sale
from orders import cancellation
from orders.changes import NotPossible, NotReplicated
from orders.models import Order

_BY = "drill"
_EVERY = 0.25  # seconds
_RECONCILED_EVERY = 1.0
_LATER = 1.0  # seconds until it is looked again whether an order is paid


class MoneyStaff(Staff):
    """Acts in a thread, until `stop`, and then cancels the rest of the plan."""

    def __init__(
        self, sale: Sale, orders: Sequence[UUID], errands: Sequence[Errand], seconds: float
    ) -> None:
        super().__init__(sale, _EVERY)
        self._plan = [
            (at * seconds, orders[number], once_paid)
            for at, number, once_paid in list_cancellations(errands)
        ]

    def _run(self, stopping: threading.Event) -> None:
        began, reconciled = time.monotonic(), 0.0
        try:
            while not stopping.wait(self._every) or self._plan:
                now = time.monotonic()
                with self._servers_may_be_away():
                    self._cancel_due(now - began, waits=not stopping.is_set())
                if now - reconciled > _RECONCILED_EVERY:
                    reconciled = now
                    with self._servers_may_be_away():
                        self._reconcile()
        finally:
            connection.close()

    def _cancel_due(self, elapsed: float, *, waits: bool) -> None:
        """Cancel the orders that are due. One stays in the plan until its end is known."""
        while self._plan and self._plan[0][0] <= elapsed:
            _, order, once_paid = self._plan[0]
            if once_paid and waits and not self._is_confirmed(order):
                heapq.heapreplace(self._plan, (elapsed + _LATER, order, once_paid))
                continue
            try:
                self.log.cancelled += cancellation.cancel_order(order, by=_BY, reason="a drill")
            except NotReplicated:
                self.log.cancelled += 1  # the caretaker replicates it
            except NotPossible:
                self.log.refused += 1
            heapq.heappop(self._plan)

    def _is_confirmed(self, order: UUID) -> bool:
        return self._sale.orders.filter(pk=order, status=Order.Status.CONFIRMED).exists()
