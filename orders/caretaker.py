"""The caretaker: a thread in every worker process that makes whole what was interrupted.

It needs no broker and no beat. Several at once do no harm: whatever it does is done under locks, by
scripts that check, and by the same functions that everybody else uses.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache

import redis
from django.db import DatabaseError, close_old_connections
from django.db.models import QuerySet

from flashsale.database import drop_broken_connections
from flashsale.redis import clients
from flashsale.redis.servers import NOT_HERE
from inventory.corruption import CorruptGate
from inventory.gate import replica
from inventory.gate.scripts import GateNotReady
from inventory.gate.state import Pulse
from inventory.models import Sale
from orders import replication, tasks

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds; a cold gate must be warm within two
_WHILE_DOWN = 0.1  # seconds, so that Redis' return is noticed at once
_REDIS_AWAY = (redis.ConnectionError, redis.TimeoutError, GateNotReady, *NOT_HERE)
_SERVERS_AT_ONCE = 32
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
            log.warning("the caretaker cannot reach Redis' gates: %s", error)
            pause = _WHILE_DOWN
        except DatabaseError as error:
            log.warning("the caretaker cannot reach PostgreSQL: %s", error)
            drop_broken_connections()
        except Exception:
            log.exception("the caretaker stumbled; it goes on")
        finally:
            close_old_connections()


def heal_all() -> None:
    """Rebuilds the gates that are cold, and tells those that are behind."""
    _on_each_server(_heal_all)


def settle_waiting() -> None:
    """Settles, without the broker, the lines whose head has waited too long: it may be what is down."""
    _on_each_server(_settle_waiting)


def _on_each_server(work: Callable[[redis.Redis, list[int]], None]) -> None:
    """With the sales that it has. In a cluster side by side: a server that is slow or away keeps nobody
    else's sales waiting, and its own round goes on while others begin the next. Raises what went wrong
    where that was so everywhere."""
    shares = clients.group_by_server(_undrained().values_list("pk", flat=True))
    if len(shares) == 1:
        work(*shares[0])
        return
    for server, sales in shares:
        at_it = (work.__name__, server)
        if at_it not in _rounds_of or _rounds_of[at_it].done():
            _rounds_of[at_it] = _side_by_side().submit(_alone, work, server, sales)
    begun = [_rounds_of[work.__name__, server] for server, _ in shares]
    done, _ = wait(begun, timeout=LOOK_EVERY)
    failures = [failure for each in done if (failure := each.exception())]
    if len(failures) == len(shares):
        raise failures[0]
    for failure in failures:
        log.warning("one server's sales were left for the next round: %r", failure)


_rounds_of: dict[tuple[str, redis.Redis], Future[None]] = {}


@cache
def _side_by_side() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_SERVERS_AT_ONCE, thread_name_prefix="caretaker")


def _alone(
    work: Callable[[redis.Redis, list[int]], None], server: redis.Redis, sales: list[int]
) -> None:
    try:
        work(server, sales)
    finally:
        close_old_connections()


def _heal_all(server: redis.Redis, sales: list[int]) -> None:
    if not replica.knows_scripts(server):
        _start_over(server)
        log.info("Redis was started or replaced: %d gates are rebuilt", len(sales))
    pulses = replica.read_pulses(sales)
    # Read after the gates: PostgreSQL only goes forward, so a gate that is ahead of it now really is.
    for sale in _undrained().filter(pk__in=pulses):
        with _apart(sale.pk):
            _heal(sale, pulses[sale.pk])


def _settle_waiting(server: redis.Redis, sales: list[int]) -> None:
    for sale, pulse in replica.read_pulses(sales).items():
        if pulse.waited > _WAITED_TOO_LONG:
            with _apart(sale):
                tasks.settle.apply((sale,), throw=True)


def _heal(sale: Sale, pulse: Pulse) -> None:
    if pulse.stuck:
        replica.lower_bell(sale.pk)
    if pulse.corrupt:
        replication.discard_gate(sale.pk, pulse.corrupt)
        replication.rebuild(sale.pk)
    elif pulse.version > sale.version and replica.empty_gate(sale.pk, sale.version):
        log.warning("sale %s: its gate was ahead of PostgreSQL and has been emptied", sale.pk)
        replication.rebuild(sale.pk)
    elif not pulse.ready or pulse.epoch != sale.epoch:
        replication.rebuild(sale.pk)
    elif pulse.version < sale.version:
        replication.replicate(sale.pk)


@contextmanager
def _apart(sale: int) -> Iterator[None]:
    """One sale's trouble is no other's. What every sale would meet ends the round."""
    try:
        yield
    except NOT_HERE as error:
        log.warning("sale %s: its keys are on the way to another server: %s", sale, error)
    except _REDIS_AWAY:
        raise
    except CorruptGate as error:
        replication.discard_gate(sale, error)
    except DatabaseError as error:
        log.warning("sale %s: left for the next round: %s", sale, error)
        drop_broken_connections()
    except Exception:
        log.exception("sale %s: left for the next round", sale)


def _start_over(server: redis.Redis) -> None:
    """It has forgotten the scripts: it was restarted, replaced or restored, and no gate in it may be
    believed, also not one that an old copy has brought back. All are marked before the scripts are
    loaded, for from then on they answer."""
    standing = replica.list_gates(server)
    undrained = set(_undrained().values_list("pk", flat=True))
    replica.begin_epoch(standing, replica.new_epoch())
    replica.remove(standing - undrained)
    replica.load_scripts(server)


def _undrained() -> QuerySet[Sale]:
    return Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
