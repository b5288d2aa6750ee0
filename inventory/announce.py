"""The one message that says that a sale has changed, and its shape.

`changed` publishes it from any thread, `receive` is what the feed of a server process listens with. It
goes over the channel layer, which may lose it: pages ask once a second and poll, so a lost message
costs a moment and nothing else.
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
    """Tells every feed that the sale's gate has moved, and what became of these purchases.

    Never waits and never raises: whoever calls it has already committed.
    """
    message = {"type": "sale.changed", "sale": sale, "outcomes": list(outcomes)}
    sending = asyncio.run_coroutine_threadsafe(_publish(message), _loop())
    _sending.add(sending)
    sending.add_done_callback(_sending.discard)


def flush() -> None:
    """Waits until what was announced is sent, for a process that would end before it is. At most a
    moment longer than one message may take."""
    wait(set(_sending), timeout=_PATIENCE + 0.5)


async def _publish(message: dict[str, Any]) -> None:
    try:
        layer = get_channel_layer()
        assert layer is not None
        await asyncio.wait_for(layer.group_send(GROUP, message), timeout=_PATIENCE)
    except Exception as error:
        log.warning("a change was not announced (%r); pages will ask", error)


_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:  # two threads may announce the process's first change
        return _started_loop()


@cache
def _started_loop() -> asyncio.AbstractEventLoop:
    """One loop for the life of the process: a loop per message would open a connection per message."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="announce", daemon=True).start()
    return loop


async def receive() -> AsyncIterator[tuple[int, list[tuple[str, Answer]]]]:
    """The changes as they come in: the sale, and the purchases that were decided."""
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    while True:
        try:
            change = _read(await layer.receive(channel))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # Not for whoever listens: to listen anew would leave this channel behind, filling up.
            log.warning("what was announced cannot be read: %r", error)
        else:
            yield change


def _read(message: dict[str, Any]) -> tuple[int, list[tuple[str, Answer]]]:
    """Raises ValueError, TypeError, LookupError or AttributeError for what `changed` never sends.

    Every process hears of every outcome, and most concern no page of its own: only as much is looked at
    as tells which do.
    """
    outcomes = [(purchase, Answer(*answer)) for purchase, *answer in message["outcomes"]]
    for purchase, answer in outcomes:
        if type(purchase) is not str or type(answer.shopper) is not str:
            raise TypeError(f"{purchase!r} is no purchase")
    return int(message["sale"]), outcomes


def parse_outcome(purchase: str, answer: Answer) -> tuple[str, Answer]:
    """An outcome that is to be shown. Raises ValueError or TypeError for one that `changed` never sends."""
    status, reason, shopper, sku, quantity = answer
    return UUID(purchase).hex, Answer(str(status), str(reason), shopper, str(sku), int(quantity))
