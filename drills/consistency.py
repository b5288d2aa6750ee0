"""Whether what a crowd was told is one story, and the one that PostgreSQL tells.

Everything is found from the outside: what was answered, and the rows. `orders/reconciliation.py` looks at the
inside, and is asked as well by whoever wants both.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Max, Q, Sum

from drills.shopper import FINAL, SOCKET, Heard, Log, Told
from inventory.click_answers import ClickAnswer
from inventory.models import Product, Sale, StockMovement
from orders.models import Order

# No habit asks for these.
_NEVER = (ClickAnswer.NOT_FOUND, ClickAnswer.METHOD, ClickAnswer.ORIGIN, ClickAnswer.INSECURE)
# What `buy` may answer, by status.
CONTRACT = {
    answer.status: {other.code for other in ClickAnswer if other.status == answer.status}
    - {never.code for never in _NEVER}
    for answer in ClickAnswer
}
CONTRACT[ClickAnswer.KNOWN.status] = set(FINAL)
# A purchase goes from each to a later one only.
_STEPS = {"queued": 0, "confirmed": 1, "rejected": 1, "cancelled": 2}


class Fault(NamedTuple):
    """Something that may not be, and what it was seen at."""

    kind: str
    what: dict[str, Any]


class Units(NamedTuple):
    """Units of a product, and the ledger's last row that is counted in them."""

    stock: int
    movement: int


@dataclass(frozen=True)
class Books:
    """What PostgreSQL says, as far as a crowd is concerned."""

    orders: dict[str, Order]
    limit: int  # the greatest that the sale has had
    available: dict[str, int]  # units by sku, from before the crowd on, whoever got them

    @cached_property
    def purchases_of(self) -> dict[UUID | None, set[str]]:
        """Those that became orders, by shopper."""
        found: dict[UUID | None, set[str]] = defaultdict(set)
        for purchase, order in self.orders.items():
            found[order.shopper].add(purchase)
        return found

    @classmethod
    def read(cls, sale: Sale, before: dict[str, Units], logs: Iterable[Log]) -> "Books":
        logs = list(logs)
        shoppers = [log.shopper for log in logs if log.shopper]
        purchases = {UUID(purchase) for log in logs for purchase in log.accepted}
        theirs = Q(sale=sale, shopper__in=shoppers) | Q(pk__in=purchases)
        orders = Order.objects.filter(theirs).select_related("product")
        sale.refresh_from_db()
        return cls(
            {str(order.pk): order for order in orders},
            sale.greatest_limit,
            {sku: units.stock + _added(sku, units.movement) for sku, units in before.items()},
        )


def stock_of(sale: Sale) -> dict[str, Units]:
    """The stock of its products by sku, each with its place in the ledger: of one moment."""
    products = Product.objects.filter(listings__sale=sale).annotate(movement=Max("movements"))
    return {product.sku: Units(product.stock, product.movement or 0) for product in products}


def _added(sku: str, after: int) -> int:
    """Units that came in after that row: restocked, returned, corrected upwards."""
    came = StockMovement.objects.filter(product__sku=sku, pk__gt=after, delta__gt=0)
    return int(came.aggregate(units=Sum("delta"))["units"] or 0)


def faults_in(logs: Iterable[Log], books: Books) -> list[Fault]:
    """All that is wrong. Nothing is, when every accepted purchase has one final answer that never
    changed, PostgreSQL says the same, nothing else was sold to these shoppers, and nobody got more
    than there was or than one shopper may buy."""
    logs = list(logs)
    faults = list(_oversold(logs, books))
    for log in logs:
        faults += _of_answers(log)
        faults += _of_purchases(log)
        faults += _of_orders(log, books)
        faults += _over_the_limit(log, books)
    return faults


def possible(log: Log) -> set[str]:
    """The purchases that may have become orders: accepted ones, and those whose answers were lost."""
    return log.accepted | {heard.form for heard in log.heard if heard.unsure and heard.form}


def confirmed(log: Log) -> Iterator[tuple[str, Told]]:
    """The purchases that the shopper was told are theirs, and were not cancelled since."""
    cancelled = {told.purchase for told in log.told if told.status == "cancelled"}
    for purchase, told in log.final.items():
        if told.status == "confirmed" and purchase not in cancelled:
            yield purchase, told


# --- Of one shopper -------------------------------------------------------------------------------


def _of_answers(log: Log) -> Iterator[Fault]:
    """Each answer by itself: is it one of the contract's, and to this ticket?"""
    for heard in log.heard:
        seen = _seen(heard, log)
        nameless = heard.status in (200, 202) and not heard.purchase
        unknown = not heard.unsure and heard.code not in CONTRACT.get(heard.status, ())
        if nameless or unknown:
            yield Fault("answer_outside_the_contract", seen)
        if heard.odd and heard.status in (200, 202):
            yield Fault("odd_request_accepted", seen)
        if heard.purchase and heard.form and heard.purchase != heard.form:
            yield Fault("ticket_of_two_purchases", seen)


def _of_purchases(log: Log) -> Iterator[Fault]:
    """What the shopper was told about each purchase, one after the other."""
    for purchase in sorted(log.accepted - log.final.keys()):
        kind = "accepted_and_forgotten" if purchase in log.forgotten else "unanswered"
        yield Fault(kind, {"purchase": purchase, "habit": log.habit})
    by_purchase: dict[str, list[Told]] = defaultdict(list)
    for told in log.told:
        by_purchase[told.purchase].append(told)
    for purchase, all_told in by_purchase.items():
        if purchase not in log.sent:
            yield Fault("told_of_anothers_purchase", {"purchase": purchase, "habit": log.habit})
        elif _changed(all_told):
            statuses = [told.status for told in all_told]
            yield Fault("answer_changed", {"purchase": purchase, "told": statuses})


def _changed(all_told: list[Told]) -> bool:
    """Whether final answers differ, or a question asked after one got an earlier answer. Staff may
    cancel what was confirmed. A frame on a socket may have been under way for as long as a process
    stood still: the page lets the later answer stand (`NEXT` in `static/js/shop.js`)."""
    final = {told.status for told in all_told if told.status in FINAL}
    reasons = {told.reason for told in all_told if told.status in FINAL and told.reason is not None}
    if ("rejected" in final and len(final) > 1) or len(reasons) > 1:
        return True
    return any(
        told.how != SOCKET and told.asked > other.at and _STEPS[told.status] < _STEPS[other.status]
        for other in _first_of_each(all_told)
        for told in all_told
    )


def _first_of_each(all_told: list[Told]) -> Iterable[Told]:
    first: dict[str, Told] = {}
    for told in sorted(all_told, key=lambda told: told.at):
        first.setdefault(told.status, told)
    return first.values()


def _of_orders(log: Log, books: Books) -> Iterator[Fault]:
    """The orders of this shopper are those that were accepted, and say what the shopper was told."""
    for purchase in sorted(log.accepted & log.final.keys()):
        order = books.orders.get(purchase)
        if order is None:
            yield Fault("accepted_without_an_order", {"purchase": purchase, "habit": log.habit})
        elif not _same(order, log, log.final[purchase]):
            told = log.final[purchase]
            seen = {"purchase": purchase, "told": told.status, "reason": told.reason}
            yield Fault("order_says_otherwise", seen | {"order": f"{order.status} {order.reason}"})
    for purchase in books.purchases_of.get(log.shopper, set()) - possible(log):
        yield Fault("order_without_an_acceptance", {"purchase": purchase, "habit": log.habit})


def _same(order: Order, log: Log, told: Told) -> bool:
    status = "confirmed" if order.status == "cancelled" != told.status else order.status
    sku = order.product.sku if order.product else ""
    return (
        status == told.status
        and (told.reason is None or told.reason == order.reason)
        and order.shopper == log.shopper
        and (
            order.reason == "error" or (sku, str(order.quantity)) in log.sent.get(told.purchase, ())
        )
    )


def _over_the_limit(log: Log, books: Books) -> Iterator[Fault]:
    """Staff may have cancelled one since, which makes room for another without a word to the shopper."""
    orders = [books.orders.get(purchase) for purchase, _ in confirmed(log)]
    units = sum(order.owned for order in orders if order)
    if units > books.limit:
        yield Fault("over_the_limit", {"habit": log.habit, "units": units, "limit": books.limit})


def _seen(heard: Heard, log: Log) -> dict[str, Any]:
    answer = f"{heard.status} {heard.code}"
    return {"form": heard.form, "purchase": heard.purchase, "answer": answer, "habit": log.habit}


# --- Of all together ------------------------------------------------------------------------------


def _oversold(logs: Iterable[Log], books: Books) -> Iterator[Fault]:
    sold: Counter[str] = Counter()
    for log in logs:
        for purchase, _ in confirmed(log):
            order = books.orders.get(purchase)
            if order is not None and order.product is not None:
                sold[order.product.sku] += order.quantity
    for sku, units in sold.items():
        if units > books.available.get(sku, 0):
            available = books.available.get(sku, 0)
            yield Fault("oversold", {"sku": sku, "units": units, "available": available})
