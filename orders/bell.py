"""The bell: a Celery message that makes a worker settle a sale's line.

It carries nothing but the sale. If it is lost, or the broker is down, the caretaker finds the line.
So publishing may fail, and it happens in a background thread, never while a shopper waits for an
answer.
"""

import logging
import queue
import threading
from functools import cache

from celery import current_app

from flashsale import queues

log = logging.getLogger(__name__)

_WAITING = 10_000  # sales in the queue; more means that the broker hangs


def ring(sale: int) -> None:
    """Publish the task `settle(sale)` in a background thread. Returns at once and never raises."""
    try:
        _queue().put_nowait(sale)
    except queue.Full:
        log.warning("sale %s: the bell was not rung, the caretaker will settle the line", sale)


_starting = threading.Lock()


def _queue() -> queue.Queue[int]:
    with _starting:
        return _started_queue()


@cache
def _started_queue() -> queue.Queue[int]:
    waiting: queue.Queue[int] = queue.Queue(_WAITING)
    threading.Thread(target=_publish, args=(waiting,), name="bell", daemon=True).start()
    return waiting


def _publish(waiting: queue.Queue[int]) -> None:
    while True:
        sale = waiting.get()
        try:
            # Directly to the queue: with an exchange, kombu would ask Redis for its bindings each
            # time.
            current_app.send_task(
                queues.SETTLE, (sale,), exchange="", routing_key=queues.SETTLEMENT, retry=False
            )
        except Exception as error:
            log.warning(
                "sale %s: the bell was not published (%s), the caretaker will settle the line",
                sale,
                error,
            )
