"""The message that a sale has changed: its shape, its publisher and its receiver.

Workers publish it to the feeds, of which each server process has one (`storefront/feed.py`). It goes over
the channel layer, which may lose messages: feeds also read each gate once a second and pages poll, so a
lost message only delays a page.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import Future, wait
from functools import cache
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer

from inventory.gate.entries import Answer

log = logging.getLogger(__name__)

GROUP = "feeds"

_PATIENCE = 2.0  # seconds for one message
_sending: set[Future[None]] = set()

Outcome = list[Any]  # purchase, status, reason, shopper, sku, quantity; more as a delta tells it


def announce_change(sale: int, outcomes: Iterable[Outcome] = ()) -> None:
    """Publish to all feeds that the sale's gate has a new version, with these outcomes.

    Thread-safe. Never blocks and never raises: the caller has already committed.
    """
    message = {"type": "sale.changed", "sale": sale, "outcomes": list(outcomes)}
    sending = asyncio.run_coroutine_threadsafe(_publish(message), _loop())
    _sending.add(sending)
    sending.add_done_callback(_sending.discard)


def flush() -> None:
    """Wait until all messages are sent, at most 2.5 s. For processes that would end before."""
    wait(set(_sending), timeout=_PATIENCE + 0.5)


async def _publish(message: dict[str, Any]) -> None:
    try:
        layer = get_channel_layer()
        assert layer is not None
        await asyncio.wait_for(layer.group_send(GROUP, message), timeout=_PATIENCE)
    except Exception as error:
        log.warning("a change was not announced (%r); feeds will find it within a second", error)


_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:  # two threads may announce the first change of the process
        return _started_loop()


@cache
def _started_loop() -> asyncio.AbstractEventLoop:
    """One loop per process: with one loop per message, each message would open a connection."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="announce", daemon=True).start()
    return loop


async def receive() -> AsyncIterator[tuple[int, list[tuple[str, Answer]]]]:
    """Yield each change: the sale's id, and its outcomes as pairs of purchase and answer, which are
    only parsed as far as `_read` says."""
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    while True:
        try:
            change = _read(await layer.receive(channel))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # Not raised: the caller would listen on a new channel, and this one would fill up unread.
            log.warning("an announced change is malformed: %r", error)
        else:
            yield change


def _read(message: dict[str, Any]) -> tuple[int, list[tuple[str, Answer]]]:
    """Read a message far enough to know the shopper of each outcome.

    Every process receives every outcome, and most are for no socket of its own: `parse_outcome` reads
    the others. Raises ValueError, TypeError, LookupError or AttributeError if malformed.
    """
    outcomes = [(purchase, Answer.of(answer)) for purchase, *answer in message["outcomes"]]
    for purchase, answer in outcomes:
        if type(purchase) is not str or type(answer.shopper) is not str:
            raise TypeError(f"{purchase!r} is not a purchase")
    return int(message["sale"]), outcomes


def parse_outcome(purchase: str, answer: Answer) -> tuple[UUID, Answer]:
    """Parse an outcome that is about to be shown. Raises ValueError or TypeError if malformed."""
    status, reason, shopper, sku, quantity, hold_until, place = answer
    parsed = Answer(
        str(status), str(reason), shopper, str(sku), int(quantity), int(hold_until), int(place)
    )
    return UUID(purchase), parsed
