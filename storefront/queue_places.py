"""How many wait before a shopper in a queue. Read when a page is made: frames do not tell it, since every
order that leaves the queue changes it for all behind."""

from collections.abc import Collection, Mapping
from uuid import UUID

from inventory.gate.entries import Answer
from orders import standby
from orders.models import Order
from storefront.unhurried import Unhurried


async def find_before(answers: Mapping[UUID, Answer]) -> dict[UUID, int]:
    """The orders before each of those that wait in a queue, at most `standby.MOST_COUNTED`. None of them
    is there if PostgreSQL cannot be read now."""
    queued = [purchase for purchase, answer in answers.items() if answer.place]
    return (await _before.ask(queued) or {}) if queued else {}


def _read(purchases: Collection[UUID]) -> dict[UUID, int]:
    waiting = Order.objects.filter(pk__in=purchases, status=Order.Status.WAITING)
    return {order.pk: standby.count_before(order) for order in waiting if order.place is not None}


_before = Unhurried(_read, "places in queues are not shown")
