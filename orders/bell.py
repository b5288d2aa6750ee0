"""The bell: tells a worker that a line waits.

A message is only a bell. If it is lost, or Celery's broker is down, the caretaker finds the line; so
publishing may fail, and never happens on the path of an answer.
"""

import logging
import queue
import threading
from functools import cache

from celery import current_app

from flashsale import queues

log = logging.getLogger(__name__)

_WAITING = 10_000  # sales; more than that is no burst but a broker that hangs


def ring(sale: int) -> None:
    """Has `settle(sale)` published by a background thread. Returns at once."""
    try:
        _queue().put_nowait(sale)
    except queue.Full:
        log.warning("sale %s: the bell was not rung, the caretaker will settle", sale)


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
            # Straight to the queue: by an exchange kombu asks Redis for its bindings, each time.
            current_app.send_task(
                queues.SETTLE, (sale,), exchange="", routing_key=queues.SETTLEMENT, retry=False
            )
        except Exception as error:
            log.warning(
                "sale %s: the bell was not heard (%s), the caretaker will settle", sale, error
            )
