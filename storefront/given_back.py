"""Whether a cancelled order was given back by its own shopper: then pages say so. No click waits for it."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from uuid import UUID

from django.db import DatabaseError

from flashsale.database import in_thread
from inventory.gate.entries import Answer
from orders import cancellation
from orders.models import Order

log = logging.getLogger(__name__)

GIVEN_BACK = "given_back"  # in the place of an answer's reason, for templates alone

_PATIENCE = 0.5  # seconds: a page that says "cancelled" is right, too
_PAUSE = 1.0  # seconds without a question after one that failed
_MOST_KEPT = 20_000

# A cancelled order stays as it is, so it is read once.
_kept: dict[UUID, bool] = {}
_ask_again_at = 0.0


async def mark_given_back(answers: Mapping[UUID, Answer]) -> dict[UUID, Answer]:
    """The same answers; those of orders that their shopper gave back have the reason GIVEN_BACK. None
    has it if PostgreSQL cannot be read now."""
    cancelled = [
        purchase
        for purchase, answer in answers.items()
        if answer.status == Order.Status.CANCELLED and purchase not in _kept
    ]
    await _read_missing(cancelled)
    return {
        purchase: answer._replace(reason=GIVEN_BACK) if _kept.get(purchase) else answer
        for purchase, answer in answers.items()
    }


async def _read_missing(purchases: Collection[UUID]) -> None:
    global _ask_again_at
    if not purchases or time.monotonic() < _ask_again_at:
        return
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await in_thread(cancellation.find_given_back, purchases)
    except (DatabaseError, TimeoutError) as error:
        log.warning("cancelled orders are shown without who cancelled them (%r)", error)
        _ask_again_at = time.monotonic() + _PAUSE
        return
    if len(_kept) >= _MOST_KEPT:
        _kept.clear()
    _kept.update({purchase: purchase in found for purchase in purchases})
