"""The caretaker: a thread in every worker process that makes whole what was interrupted.

It needs no broker and no beat. Several at once do no harm: whatever it does is done under locks, by
scripts that check, and by the same functions that everybody else uses.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from django.db import DatabaseError, close_old_connections
from django.db.models import QuerySet

from flashsale.database import drop_broken_connections
from inventory import gate
from inventory.gate import Pulse
from inventory.models import Sale
from inventory.oddity import OddGate
from orders import tasks, telling

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds; a cold gate must be warm within two
CLOSE_LOOKS = 20  # sales in a round: of a thousand, each has its turn within half a minute
_WHILE_DOWN = 0.1  # seconds, so that Redis' return is noticed at once
_REDIS_AWAY = (redis.ConnectionError, redis.TimeoutError, gate.ColdGate)
_WAITED_TOO_LONG = 1000  # ms in the line: the bell was lost, or who heard it is gone


def start() -> threading.Event:
    """Starts its two threads; setting the event ends them. Apart, because a long line must not keep
    another sale's gate cold."""
    ended = threading.Event()
    for work in (heal_all, settle_waiting):
        name = f"caretaker-{work.__name__}"
        threading.Thread(target=_run, args=(work, ended), name=name, daemon=True).start()
    return ended


def _run(work: Callable[[], None], ended: threading.Event) -> None:
    pause = 0.0
    while not ended.wait(pause):
        pause = LOOK_EVERY
        try:
            work()
        except _REDIS_AWAY as error:
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
    """One round of everything."""
    heal_all()
    settle_waiting()


def heal_all() -> None:
    """Rebuilds the gates that are cold, and tells those that are behind."""
    if not gate.scripts_known():
        _start_over()
    sales = list(_undrained().values_list("pk", flat=True))
    pulses = gate.pulses(sales)
    odd = gate.oddities(_in_turn(sales))
    # Read after the gates: PostgreSQL only goes forward, so a gate that is ahead of it now really is.
    for sale in _undrained().filter(pk__in=sales):
        with _apart(sale.pk):
            _heal(sale, pulses[sale.pk], odd.get(sale.pk, ""))


_rounds = itertools.count()


def _in_turn(sales: list[int]) -> list[int]:
    """The sales that are looked at closely in this round."""
    start = next(_rounds) * CLOSE_LOOKS % max(1, len(sales))
    return (sales[start:] + sales[:start])[:CLOSE_LOOKS]


def settle_waiting() -> None:
    """Settles, without the broker, the lines whose head has waited too long: it may be what is down."""
    sales = list(_undrained().values_list("pk", flat=True))
    for sale, pulse in gate.pulses(sales).items():
        if pulse.waited > _WAITED_TOO_LONG:
            with _apart(sale):
                tasks.settle.apply((sale,), throw=True)


def _heal(sale: Sale, pulse: Pulse, odd: str) -> None:
    if pulse.stuck:
        gate.lower_bell(sale.pk)
    if why := odd or pulse.odd:
        telling.start_over(sale.pk, why)
        telling.warm(sale.pk)
    elif pulse.version > sale.version and gate.empty(sale.pk, sale.version):
        log.warning("sale %s: its gate was ahead of PostgreSQL and has been emptied", sale.pk)
        telling.warm(sale.pk)
    elif not pulse.warm or pulse.mark != sale.epoch:
        telling.warm(sale.pk)
    elif pulse.version < sale.version:
        telling.tell(sale.pk)


@contextmanager
def _apart(sale: int) -> Iterator[None]:
    """One sale's trouble is no other's. What every sale would meet ends the round."""
    try:
        yield
    except _REDIS_AWAY:
        raise
    except OddGate as error:
        telling.start_over(sale, error)
    except DatabaseError as error:
        log.warning("sale %s: left for the next round: %s", sale, error)
        drop_broken_connections()
    except Exception:
        log.exception("sale %s: left for the next round", sale)


def _start_over() -> None:
    """Redis has forgotten the scripts: it was restarted, replaced or restored, and no gate in it may be
    believed, also not one that an old copy has brought back. All are marked before the scripts are
    loaded, for from then on they answer."""
    standing = gate.standing()
    undrained = set(_undrained().values_list("pk", flat=True))
    gate.cool(standing, gate.fresh_mark())
    gate.forget(standing - undrained)
    gate.load_scripts()
    log.info("Redis was started or replaced: %d gates are rebuilt", len(undrained))


def _undrained() -> QuerySet[Sale]:
    return Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
