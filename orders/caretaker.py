"""The caretaker: threads in each worker process, for work that no request starts.

One makes gates ready and up to date, one settles lines whose bell was lost, one returns the units of
holds that have ended, one gives units to those on standby, and one carries out draws. They need
neither broker nor beat. Several caretakers at once do no harm: they use the same functions as all
other code, which take locks or are scripts that check first.
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

from flashsale.database import drop_broken_connections, only_reads
from flashsale.redis import blocking_clients
from flashsale.redis.refusals import refusal
from flashsale.redis.servers import NOT_HERE
from inventory.corruption import CorruptGate
from inventory.gate import replica
from inventory.gate.scripts import GateNotReady
from inventory.gate.state import Pulse
from inventory.models import Sale
from orders import holds, replication, standby, tasks
from orders.draws import steps

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds; a gate that is not ready must be ready within two seconds
_WHILE_DOWN = 0.1  # seconds between attempts while Redis is away
_REDIS_AWAY = (redis.ConnectionError, redis.TimeoutError, GateNotReady, *NOT_HERE)
_SERVERS_AT_ONCE = 32
_WAITED_TOO_LONG = 1000  # ms in the line: the bell was lost, or its worker died


def start(*more: Callable[[], None]) -> threading.Event:
    """Start a thread for each work, and for `more` of other rooms; setting the returned event ends
    them. Apart, because settling a long line must delay neither the rebuild of another sale's gate
    nor the end of a hold."""
    ended = threading.Event()
    works = (heal_all, settle_waiting, expire_holds, serve_standby, advance_draws)
    for work in (*works, *more):
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
            done = "write to" if only_reads(error) else "reach"
            log.warning("the caretaker cannot %s PostgreSQL: %s", done, error)
            drop_broken_connections()
        except Exception as error:
            if refusal(error):
                log.warning("the caretaker cannot write to Redis' gates: %s", error)
            else:
                log.exception("the caretaker failed; it tries again")
        finally:
            close_old_connections()


def heal_all() -> None:
    """Rebuild gates that are not ready, corrupt or ahead, and replicate to those that are
    behind."""
    _on_each_server(_heal_all)


def settle_waiting() -> None:
    """Settle lines whose oldest entry has waited too long. Without the broker, because that may be
    down."""
    _on_each_server(_settle_waiting)


def expire_holds() -> None:
    """Return the units of holds that have ended. Needs no Redis: gates learn it by replication."""
    for sale, variants in holds.find_due().items():
        with _isolate_errors(sale):
            holds.expire(sale, variants)


def serve_standby() -> None:
    """Give what came back to those on standby, and end the waiting where a sale has ended. Needs no
    Redis."""
    for sale in standby.find():
        with _isolate_errors(sale):
            standby.serve(sale)


def advance_draws() -> None:
    """Carry out the draws that are due, a step of each in turn: a long one does not delay the others."""
    moving, away = True, None
    while moving:
        moving = False
        for sale in steps.find_due():
            try:
                with _isolate_errors(sale):
                    moving |= steps.advance(sale)
            except _REDIS_AWAY as error:  # its server: others may be there, or not be needed
                away = error
    if away:
        raise away


def _on_each_server(work: Callable[[redis.Redis, list[int]], None]) -> None:
    """Run `work` with each Redis server and its sales.

    In a cluster the servers run in parallel: a slow one does not delay the others, and its round
    goes on while they begin the next. Raises the error only if every server failed.
    """
    shares = blocking_clients.group_by_server(_undrained().values_list("pk", flat=True))
    if len(shares) == 1:
        work(*shares[0])
        return
    for server, sales in shares:
        name = (work.__name__, server)
        if name not in _rounds or _rounds[name].done():
            _rounds[name] = _threads().submit(_run_round, work, server, sales)
    begun = [_rounds[work.__name__, server] for server, _ in shares]
    done, _ = wait(begun, timeout=LOOK_EVERY)
    failures = [failure for each in done if (failure := each.exception())]
    if len(failures) == len(shares):
        raise failures[0]
    for failure in failures:
        log.warning("the sales of one server are left for the next round: %r", failure)


_rounds: dict[tuple[str, redis.Redis], Future[None]] = {}


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_SERVERS_AT_ONCE, thread_name_prefix="caretaker")


def _run_round(
    work: Callable[[redis.Redis, list[int]], None], server: redis.Redis, sales: list[int]
) -> None:
    try:
        work(server, sales)
    finally:
        close_old_connections()


def _heal_all(server: redis.Redis, sales: list[int]) -> None:
    # A server that was replaced, and is still there as a replica, answers every read.
    blocking_clients.check_writable(server, needs_memory=False)
    if not replica.knows_scripts(server):
        _start_over(server)
        log.info("Redis was restarted or replaced: %d gates will be rebuilt", len(sales))
    pulses = replica.read_pulses(sales)
    # PostgreSQL is read after the gates: its versions only grow, so a gate that is ahead now really
    # is.
    for sale in _undrained().filter(pk__in=pulses):
        with _isolate_errors(sale.pk):
            _heal(sale, pulses[sale.pk])


def _settle_waiting(server: redis.Redis, sales: list[int]) -> None:
    for sale, pulse in replica.read_pulses(sales).items():
        if pulse.waited > _WAITED_TOO_LONG:
            with _isolate_errors(sale):
                tasks.settle.apply((sale,), throw=True)


def _heal(sale: Sale, pulse: Pulse) -> None:
    if pulse.stuck:
        replica.lower_bell(sale.pk)
    if pulse.corrupt:
        replication.discard_gate(sale.pk, pulse.corrupt)
        replication.rebuild(sale.pk)
    elif pulse.version > sale.version and replica.empty_gate(sale.pk, sale.version):
        log.warning("sale %s: its gate was ahead of PostgreSQL and is emptied", sale.pk)
        replication.rebuild(sale.pk)
    elif not pulse.ready or pulse.epoch != sale.epoch:
        replication.rebuild(sale.pk)
    elif pulse.version < sale.version:
        replication.replicate(sale.pk)


@contextmanager
def _isolate_errors(sale: int) -> Iterator[None]:
    """Log an error that concerns one sale, so that the others go on. An error that concerns all of
    them ends the round."""
    try:
        yield
    except NOT_HERE as error:
        log.warning("sale %s: its keys are moving to another server: %s", sale, error)
    except _REDIS_AWAY:
        raise
    except CorruptGate as error:
        replication.discard_gate(sale, error)
    except DatabaseError as error:
        if only_reads(error):
            raise
        log.warning("sale %s: left for the next round: %s", sale, error)
        drop_broken_connections()
    except Exception as error:
        if refusal(error):
            raise
        log.exception("sale %s: left for the next round", sale)


def _start_over(server: redis.Redis) -> None:
    """Take over a server that does not know the scripts: it was restarted, replaced or restored.

    Its gates cannot be trusted, even those that an old copy brought back. A new epoch begins in all
    of them before the scripts are loaded, because from then on ready gates accept clicks.
    """
    gates = replica.list_gates(server)
    undrained = set(_undrained().values_list("pk", flat=True))
    replica.begin_epoch(gates, replica.new_epoch())
    replica.remove(gates - undrained)
    replica.load_scripts(server)


def _undrained() -> QuerySet[Sale]:
    return Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
