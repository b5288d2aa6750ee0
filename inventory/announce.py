"""The message that announces a changed sale, and its shape.

`announce_change` publishes it from any thread. `receive` yields it to the feed: the part of each
web process that sends changes to its pages. The channel layer may lose a message; the feed also
reads the gate once a second, and pages without a socket poll, so a lost message only delays a page.
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

Outcome = list[Any]  # purchase, status, reason, shopper, sku, quantity


def announce_change(sale: int, outcomes: Iterable[Outcome] = ()) -> None:
    """Announce to every feed that the sale's gate has changed, with the outcomes of purchases.

    Neither waits nor raises: the caller has already committed.
    """
    message = {"type": "sale.changed", "sale": sale, "outcomes": list(outcomes)}
    sending = asyncio.run_coroutine_threadsafe(_publish(message), _loop())
    _sending.add(sending)
    sending.add_done_callback(_sending.discard)


def flush() -> None:
    """Wait until the announcements are sent, at most half a second longer than one message may
    take. For a process that would end before."""
    wait(set(_sending), timeout=_PATIENCE + 0.5)


async def _publish(message: dict[str, Any]) -> None:
    try:
        layer = get_channel_layer()
        assert layer is not None
        await asyncio.wait_for(layer.group_send(GROUP, message), timeout=_PATIENCE)
    except Exception as error:
        log.warning("a change was not announced (%r); pages will poll", error)


_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:  # two threads may announce the first change of the process
        return _started_loop()


@cache
def _started_loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the process: a loop per message would open a connection per
    message."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="announce", daemon=True).start()
    return loop


async def receive() -> AsyncIterator[tuple[int, list[tuple[str, Answer]]]]:
    """Yield announced changes: the sale, and each decided purchase with its answer."""
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    while True:
        try:
            change = _read(await layer.receive(channel))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # Not raised: listening anew would leave this channel behind, and it would fill up.
            log.warning("an announcement cannot be read: %r", error)
        else:
            yield change


def _read(message: dict[str, Any]) -> tuple[int, list[tuple[str, Answer]]]:
    """Read the sale and the outcomes. Raises ValueError, TypeError, LookupError or AttributeError
    for a message that `announce_change` never sends.

    Every process gets every outcome, and most concern none of its pages, so only the fields that
    select the page are checked.
    """
    outcomes = [(purchase, Answer(*answer)) for purchase, *answer in message["outcomes"]]
    for purchase, answer in outcomes:
        if type(purchase) is not str or type(answer.shopper) is not str:
            raise TypeError(f"{purchase!r} is not a purchase")
    return int(message["sale"]), outcomes


def parse_outcome(purchase: str, answer: Answer) -> tuple[str, Answer]:
    """Check the other fields of an outcome before a page shows it. Raises ValueError or TypeError
    for one that `announce_change` never sends."""
    status, reason, shopper, sku, quantity = answer
    return UUID(purchase).hex, Answer(str(status), str(reason), shopper, str(sku), int(quantity))
