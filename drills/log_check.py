"""Compares the logs of simulated shoppers with each other and with PostgreSQL.

These checks see the shop from the outside: its answers and its rows. `orders/reconciliation.py` checks the
inside; drills run both.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Max, Q, Sum

from drills.shopper_log import FINAL, SOCKET, WAITING, Log, Reply, Update
from inventory.click_answers import ClickAnswer
from inventory.models import Sale, StockMovement, Variant
from orders.models import Order
from orders.order_status import ARROWS, Status

# No habit provokes these.
_NEVER = (
    *(ClickAnswer.NOT_FOUND, ClickAnswer.METHOD, ClickAnswer.ORIGIN, ClickAnswer.INSECURE),
    ClickAnswer.COOKIES,
)
# Replies that `buy` may give, by status.
CONTRACT = {
    answer.status: {other.code for other in ClickAnswer if other.status == answer.status}
    - {never.code for never in _NEVER}
    for answer in ClickAnswer
}
CONTRACT[ClickAnswer.KNOWN.status] = set(FINAL)
# A purchase moves from a lower step to a higher one only.
_STEPS = {
    "queued": 0,
    "waiting": 1,
    "held": 2,
    "rejected": 2,
    "confirmed": 3,
    "expired": 3,
    "cancelled": 4,
}
_SECURED = ("held", "confirmed")
_RETURNED = ("expired", "cancelled")


class Fault(NamedTuple):
    """A broken promise, with the evidence for it."""

    kind: str
    what: dict[str, Any]


class Units(NamedTuple):
    """Units of a variant, and the id of the latest ledger row that they include."""

    stock: int
    movement: int


@dataclass(frozen=True)
class DatabaseState:
    """PostgreSQL's rows about a group of shoppers."""

    orders: dict[str, Order]
    limit: int  # the greatest that the sale has had
    available: dict[
        str, int
    ]  # units by sku: the stock before the drill, and all that came in since

    @cached_property
    def purchases_of(self) -> dict[UUID | None, set[str]]:
        """The purchases that became orders, by shopper."""
        found: dict[UUID | None, set[str]] = defaultdict(set)
        for purchase, order in self.orders.items():
            found[order.shopper].add(purchase)
        return found

    @classmethod
    def read(cls, sale: Sale, before: dict[str, Units], logs: Iterable[Log]) -> "DatabaseState":
        """Read the orders of the shoppers in `logs`. `before` is `read_stock` from before the drill."""
        logs = list(logs)
        shoppers = [log.shopper for log in logs if log.shopper]
        purchases = {UUID(purchase) for log in logs for purchase in log.accepted}
        theirs = Q(sale=sale, shopper__in=shoppers) | Q(pk__in=purchases)
        orders = Order.objects.filter(theirs)
        sale.refresh_from_db()
        return cls(
            {str(order.pk): order for order in orders},
            sale.greatest_limit,
            {sku: units.stock + _units_added(sku, units.movement) for sku, units in before.items()},
        )


def read_stock(sale: Sale) -> dict[str, Units]:
    """Read the stock of a sale's variants by sku, with the ledger's position, in one query."""
    variants = Variant.objects.filter(listings__sale=sale).annotate(movement=Max("movements"))
    return {variant.sku: Units(variant.stock, variant.movement or 0) for variant in variants}


def _units_added(sku: str, after: int) -> int:
    """Sum the units that came in after a ledger row: restocked, returned, corrected upwards."""
    added = StockMovement.objects.filter(variant__sku=sku, pk__gt=after, delta__gt=0)
    return int(added.aggregate(units=Sum("delta"))["units"] or 0)


def find_faults(logs: Iterable[Log], state: DatabaseState) -> list[Fault]:
    """Find every broken promise. None is broken if each accepted purchase has one final status that never
    changed, PostgreSQL agrees, these shoppers have no other orders, no variant sold more units than there
    were, and no shopper got more than the limit."""
    logs = list(logs)
    faults = list(_check_stock(logs, state))
    for log in logs:
        faults += _check_replies(log)
        faults += _check_updates(log)
        faults += _check_orders(log, state)
        faults += _check_limit(log, state)
    return faults


# --- Of all shoppers together ---------------------------------------------------------------------


def _check_stock(logs: Iterable[Log], state: DatabaseState) -> Iterator[Fault]:
    sold: Counter[str] = Counter()
    for log in logs:
        for purchase in _secured_purchases(log):
            order = state.orders.get(purchase)
            if order is not None and order.sku:
                # A hold may have expired after the shopper left.
                held = log.final[purchase].status == "held"
                sold[order.sku] += order.owned if held else order.quantity
    for sku, units in sold.items():
        if units > state.available.get(sku, 0):
            available = state.available.get(sku, 0)
            yield Fault("oversold", {"sku": sku, "units": units, "available": available})


def _secured_purchases(log: Log) -> Iterator[str]:
    """The purchases that the shopper saw held or confirmed, and not cancelled or expired since."""
    returned = {update.purchase for update in log.updates if update.status in _RETURNED}
    for purchase, update in log.final.items():
        if update.status in _SECURED and purchase not in returned:
            yield purchase


# --- Of one shopper -------------------------------------------------------------------------------


def _check_replies(log: Log) -> Iterator[Fault]:
    """Check each reply by itself: is it in the contract, and about its own ticket?"""
    for reply in log.replies:
        seen = _describe_reply(reply, log)
        nameless = reply.status in (200, 202) and not reply.purchase
        unknown = not reply.unsure and reply.code not in CONTRACT.get(reply.status, ())
        if nameless or unknown:
            yield Fault("answer_outside_the_contract", seen)
        if reply.malformed and reply.status in (200, 202):
            yield Fault("odd_request_accepted", seen)
        if reply.purchase and reply.form and reply.purchase != reply.form:
            yield Fault("ticket_of_two_purchases", seen)


def _describe_reply(reply: Reply, log: Log) -> dict[str, Any]:
    answer = f"{reply.status} {reply.code}"
    return {"form": reply.form, "purchase": reply.purchase, "answer": answer, "habit": log.habit}


def _check_updates(log: Log) -> Iterator[Fault]:
    """Check the sequence of updates about each purchase."""
    for purchase in sorted(log.accepted - log.final.keys()):
        kind = "accepted_and_forgotten" if purchase in log.forgotten else "unanswered"
        yield Fault(kind, {"purchase": purchase, "habit": log.habit})
    by_purchase: dict[str, list[Update]] = defaultdict(list)
    for update in log.updates:
        by_purchase[update.purchase].append(update)
    for purchase, updates in by_purchase.items():
        if purchase not in log.sent:
            yield Fault("told_of_anothers_purchase", {"purchase": purchase, "habit": log.habit})
        elif _contradict(updates):
            statuses = [update.status for update in updates]
            yield Fault("answer_changed", {"purchase": purchase, "told": statuses})


def _contradict(updates: list[Update]) -> bool:
    """Whether final statuses differ, or a question asked after an update got an earlier status.

    An order that waits is decided later. Staff may cancel a confirmed order, and a hold may expire. A
    socket's frame may arrive late, by as long as a process was frozen: the page keeps the later status
    (`NEXT` in `static/js/shop.js`).
    """
    final = [update for update in updates if update.status in FINAL and update.status != WAITING]
    statuses = {update.status for update in final}
    reasons = {update.reason for update in final if update.reason is not None}
    if ("rejected" in statuses and len(statuses) > 1) or len(reasons) > 1:
        return True
    return any(
        update.how != SOCKET
        and update.asked > earlier.at
        and _STEPS[update.status] < _STEPS[earlier.status]
        for earlier in _first_of_each_status(updates)
        for update in updates
    )


def _first_of_each_status(updates: list[Update]) -> Iterable[Update]:
    first: dict[str, Update] = {}
    for update in sorted(updates, key=lambda update: update.at):
        first.setdefault(update.status, update)
    return first.values()


def _check_orders(log: Log, state: DatabaseState) -> Iterator[Fault]:
    """Compare the shopper's orders with the accepted purchases, and each order with its final update."""
    for purchase in sorted(log.accepted & log.final.keys()):
        order, update = state.orders.get(purchase), log.final[purchase]
        if order is None:
            yield Fault("accepted_without_an_order", {"purchase": purchase, "habit": log.habit})
        elif not _order_agrees(order, log, update):
            seen = {"purchase": purchase, "told": update.status, "reason": update.reason}
            yield Fault("order_says_otherwise", seen | {"order": f"{order.status} {order.reason}"})
    for purchase in state.purchases_of.get(log.shopper, set()) - _possible_orders(log):
        yield Fault("order_without_an_acceptance", {"purchase": purchase, "habit": log.habit})


def _order_agrees(order: Order, log: Log, update: Update) -> bool:
    clicks = log.sent.get(update.purchase, ())
    return (
        _leads_to(update.status, order.status)
        and (update.reason is None or update.reason == order.reason or _was_decided(order, update))
        and order.shopper == log.shopper
        and (order.reason == "error" or (order.sku, str(order.quantity)) in clicks)
    )


def _was_decided(order: Order, update: Update) -> bool:
    """Whether the shopper left while the order was waiting, and did not hear its outcome."""
    return update.status == WAITING != order.status


def _leads_to(told: str, now: str) -> bool:
    """Whether an order that had the status `told` may have the status `now`."""
    return told == now or any(
        _leads_to(after, now) for after in ARROWS[Status(told)] if _STEPS[after] > _STEPS[told]
    )


def _possible_orders(log: Log) -> set[str]:
    """The purchases that may have become orders: accepted ones, and those whose replies were lost."""
    return log.accepted | {reply.form for reply in log.replies if reply.unsure and reply.form}


def _check_limit(log: Log, state: DatabaseState) -> Iterator[Fault]:
    """Sum only units that are still owned: staff may cancel one without the shopper learning of it,
    which makes room for another."""
    orders = [state.orders.get(purchase) for purchase in _secured_purchases(log)]
    units = sum(order.owned for order in orders if order)
    if units > state.limit:
        yield Fault("over_the_limit", {"habit": log.habit, "units": units, "limit": state.limit})
