"""The caretaker: a thread in every worker process that makes whole what was interrupted.

It needs no broker and no beat. Several at once do no harm: whatever it does is done under locks, by
scripts that check, and by the same functions that everybody else uses.
"""

import logging
import secrets
import threading

import redis
from django.db import DatabaseError, close_old_connections
from django.db.models import QuerySet

from flashsale.database import drop_broken_connections
from inventory import gate
from inventory.gate import Pulse
from inventory.models import Sale
from orders import tasks, telling

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds; a cold gate must be warm within two
_WHILE_DOWN = 0.1  # seconds, so that Redis' return is noticed at once
_WAITED_TOO_LONG = 1000  # ms in the line: the bell was lost, or who heard it is gone


def start() -> threading.Event:
    """Starts the thread; setting the event ends it."""
    ended = threading.Event()
    threading.Thread(target=_run, args=(ended,), name="caretaker", daemon=True).start()
    return ended


def _run(ended: threading.Event) -> None:
    pause = 0.0
    while not ended.wait(pause):
        pause = LOOK_EVERY
        try:
            look_after_all()
        except (redis.ConnectionError, redis.TimeoutError, gate.ColdGate) as error:
            log.warning("the caretaker cannot reach Redis' gates: %r", error)
            pause = _WHILE_DOWN
        except DatabaseError as error:
            log.warning("the caretaker cannot reach PostgreSQL: %s", error)
            drop_broken_connections()
        except Exception:
            log.exception("the caretaker stumbled; it goes on")
        finally:
            close_old_connections()


def look_after_all() -> None:
    """One round: rebuilds what is cold, tells what is behind, settles what waits."""
    if not gate.scripts_known():
        _start_over()
    sales = list(_undrained().values_list("pk", flat=True))
    pulses = gate.pulses(sales)
    # Read after the gates: PostgreSQL only goes forward, so a gate that is ahead of it now really is.
    for sale in _undrained().filter(pk__in=sales):
        try:
            _look_after(sale, pulses[sale.pk])
        except DatabaseError as error:
            log.warning("sale %s: left for the next round: %s", sale.pk, error)
            drop_broken_connections()


def _look_after(sale: Sale, pulse: Pulse) -> None:
    if pulse.version > sale.version:
        if gate.empty(sale.pk, sale.version):
            log.warning("sale %s: its gate was ahead of PostgreSQL and has been emptied", sale.pk)
        gate.cool([sale.pk], _mark())
        telling.warm(sale.pk)
    elif not pulse.mark:
        gate.cool([sale.pk], _mark())
        telling.warm(sale.pk)
    elif not pulse.warm or pulse.mark != sale.epoch:
        telling.warm(sale.pk)
    elif pulse.version < sale.version:
        telling.tell(sale.pk)
    if pulse.waited > _WAITED_TOO_LONG:
        _settle(sale.pk)


def _start_over() -> None:
    """Redis has forgotten the scripts: it was restarted, replaced or restored, and no gate in it may be
    believed, also not one that an old copy has brought back. All are marked before the scripts are
    loaded, for from then on they answer."""
    standing = gate.standing()
    undrained = set(_undrained().values_list("pk", flat=True))
    gate.cool(standing | undrained, _mark())
    gate.forget(standing - undrained)
    gate.load_scripts()
    log.warning("Redis knew no scripts: %d gates are rebuilt", len(undrained))


def _settle(sale: int) -> None:
    """In place, without the broker: it may be what is down."""
    tasks.settle.apply((sale,), throw=True)


def _undrained() -> QuerySet[Sale]:
    return Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)


def _mark() -> str:
    return secrets.token_hex(8)
