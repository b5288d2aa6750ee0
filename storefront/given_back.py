"""Whether a cancelled order was given back by its own shopper: then pages say so. No click waits for it."""

from collections.abc import Mapping
from uuid import UUID

from inventory.gate.entries import Answer
from orders.cancellation import find_given_back
from orders.models import Order
from storefront.remembered import Remembered

GIVEN_BACK = "given_back"  # in the place of an answer's reason, for templates alone


async def mark_given_back(answers: Mapping[UUID, Answer]) -> dict[UUID, Answer]:
    """The same answers; those of orders that their shopper gave back have the reason GIVEN_BACK. None
    has it if PostgreSQL cannot be read now."""
    cancelled = [
        purchase for purchase, answer in answers.items() if answer.status == Order.Status.CANCELLED
    ]
    given_back = await _by_shopper.recall(cancelled)
    return {
        purchase: answer._replace(reason=GIVEN_BACK) if given_back.get(purchase) else answer
        for purchase, answer in answers.items()
    }


def _read(purchases: list[UUID]) -> dict[UUID, bool]:
    found = find_given_back(purchases)
    return {purchase: purchase in found for purchase in purchases}


_by_shopper = Remembered(_read, "cancelled orders are shown without who cancelled them")
