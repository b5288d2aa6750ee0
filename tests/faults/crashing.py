"""The real processes, each of which may die by SIGKILL at one point of a purchase's way.

The product has no switch for this: the point is patched here, in the new process, and then the ordinary
server or worker runs. They are forked from a process that has imported the product already, for these
tests start many.
"""

import inspect
import itertools
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pkgutil import resolve_name
from typing import Any, NamedTuple
from unittest.mock import patch

from tests.stack import DEADLINE, WORKER


def each_time(*args: Any, **options: Any) -> bool:
    return True


def nothing() -> None:
    pass


def of_a_click(scope: dict[str, Any], *args: Any, **options: Any) -> bool:
    return str(scope["path"]).endswith("/buy")


def not_the_last(sale: int, part: str) -> bool:
    return '"last": false' in part


def opening(sale: int, delta: Any) -> bool:
    return bool(delta.makes_ready)


def of_the_end(sale: int, written: Any, *, wait_for_it: bool) -> bool:
    return wait_for_it


def of_attempts(rows: Any) -> bool:
    return str(rows.model.__name__) == "Attempt"


class Point(NamedTuple):
    """Where a process dies: before or after the `hit`-th call of a function."""

    role: str
    target: str
    when: str
    hit: int
    only: Callable[..., bool] = each_time  # which calls count


SERVING, SETTLING, REBUILDING = "serving", "settling", "rebuilding"
EXPIRING = "expiring"
PAYING = "paying"
DRAWING, ON_STANDBY = "drawing", "on standby"
BEFORE, AFTER = "before", "after"

# Shoppers come in bursts. At the fifteenth click, or the second of what happens once in a burst, others
# are under way.
POINTS = {
    "before_admit": Point(SERVING, "inventory.gate.admission.admit", BEFORE, 15),
    "after_admit": Point(SERVING, "inventory.gate.admission.admit", AFTER, 15),
    "before_the_bell": Point(SERVING, "orders.bell.ring", BEFORE, 2),
    "before_the_bell_is_published": Point(SERVING, "celery.Celery.send_task", BEFORE, 2),
    "after_the_bell_is_published": Point(SERVING, "celery.Celery.send_task", AFTER, 2),
    "before_the_answer": Point(SERVING, "storefront.click_responses.respond", AFTER, 15),
    "after_the_answer": Point(SERVING, "flashsale.http.endpoint.answer", AFTER, 15, of_a_click),
    "the_line_is_read": Point(SETTLING, "inventory.gate.entries.parse_line", AFTER, 2),
    "the_locks_are_held": Point(SETTLING, "orders.settlement.allot", BEFORE, 2),
    "before_commit": Point(SETTLING, "orders.settlement._write", AFTER, 2),
    "after_commit": Point(SETTLING, "orders.settlement._decide", AFTER, 2),
    "before_tell": Point(SETTLING, "inventory.gate.replica.apply_part", BEFORE, 2),
    "after_tell": Point(SETTLING, "inventory.gate.replica.apply_part", AFTER, 2),
    "before_announcing": Point(SETTLING, "inventory.announce.announce_change", BEFORE, 2),
    "before_publishing": Point(SETTLING, "inventory.announce._publish", BEFORE, 2),
    "after_publishing": Point(SETTLING, "inventory.announce._publish", AFTER, 2),
    "before_the_bell_is_lowered": Point(SETTLING, "inventory.gate.replica.lower_bell", BEFORE, 2),
    "after_the_bell_is_lowered": Point(SETTLING, "inventory.gate.replica.lower_bell", AFTER, 2),
    "gates_are_marked": Point(REBUILDING, "inventory.gate.replica.begin_epoch", AFTER, 1),
    "before_scripts_are_loaded": Point(
        REBUILDING, "inventory.gate.replica.load_scripts", BEFORE, 1
    ),
    "half_the_scripts_are_loaded": Point(REBUILDING, "redis.Redis.script_load", AFTER, 3),
    "scripts_are_loaded": Point(REBUILDING, "inventory.gate.replica.load_scripts", AFTER, 1),
    "the_mark_is_adopted": Point(REBUILDING, "orders.replication._adopt_epoch", AFTER, 1),
    "between_parts_of_the_tale": Point(
        REBUILDING, "inventory.gate.replica.apply_part", AFTER, 2, not_the_last
    ),
    "before_the_opening": Point(REBUILDING, "orders.replication._apply", BEFORE, 1, opening),
    "holds_are_found": Point(EXPIRING, "orders.holds.find_due", AFTER, 1),
    "holds_are_ended": Point(EXPIRING, "orders.holds._end_holds", AFTER, 2),
    "units_are_back": Point(EXPIRING, "inventory.stock.move", AFTER, 2),
    "expiry_is_committed": Point(EXPIRING, "orders.changes.replicate_change", BEFORE, 2),
    "expiry_is_told": Point(EXPIRING, "orders.changes.replicate_change", AFTER, 2),
    "a_draw_is_closed": Point(DRAWING, "orders.draws.steps._close", AFTER, 1),
    "lots_are_written": Point(DRAWING, "orders.draws.merkle.prove", BEFORE, 1),
    "lots_are_committed": Point(DRAWING, "orders.draws.freezing._make_lots", AFTER, 1),
    "a_draw_is_frozen": Point(DRAWING, "orders.draws.freezing._publish", AFTER, 1),
    "ranks_are_written": Point(DRAWING, "orders.draws.reveal._show", AFTER, 1),
    "a_seed_is_revealed": Point(DRAWING, "orders.draws.reveal.reveal", AFTER, 1),
    "winners_are_read": Point(DRAWING, "orders.draws.allotting._look_ahead", AFTER, 1),
    "winners_are_written": Point(DRAWING, "orders.outcomes.write", AFTER, 1),
    "losers_are_written": Point(DRAWING, "orders.draws.allotting._write_rest", AFTER, 2),
    "outcomes_are_committed": Point(DRAWING, "orders.outcomes.replicate", BEFORE, 2),
    "outcomes_are_told": Point(DRAWING, "orders.outcomes.replicate", AFTER, 2),
    "a_draw_is_done": Point(DRAWING, "orders.draws.allotting._tell", BEFORE, 1, of_the_end),
    "standby_is_decided": Point(ON_STANDBY, "orders.standby._decide", AFTER, 2),
    "standby_is_written": Point(ON_STANDBY, "orders.outcomes.write", AFTER, 2),
    "standby_is_committed": Point(ON_STANDBY, "orders.outcomes.replicate", BEFORE, 2),
    "payments_are_claimed": Point(PAYING, "payments.reconciler._claim", AFTER, 1, of_attempts),
    "a_verdict_is_committed": Point(PAYING, "payments.transitions._apply_to_attempt", AFTER, 1),
    "a_capture_is_made": Point(PAYING, "payments.providers.demo.Demo.capture", AFTER, 1),
    "before_paid_is_committed": Point(PAYING, "orders.confirmation.take_arrow", AFTER, 1),
    "paid_is_committed": Point(PAYING, "orders.confirmation.replicate_change", BEFORE, 1),
    "a_hold_is_revived": Point(PAYING, "orders.holds.revive", AFTER, 1),
    "a_void_is_made": Point(PAYING, "payments.providers.demo.Demo.void", AFTER, 1),
    "a_refund_is_written_down": Point(PAYING, "payments.refunds.begin_refund", AFTER, 1),
    "a_refund_is_made": Point(PAYING, "payments.providers.demo.Demo.refund", AFTER, 1),
    "before_refunded_is_committed": Point(PAYING, "orders.outbox.tell", AFTER, 1),
    "after_the_opening": Point(REBUILDING, "orders.replication._apply", AFTER, 1, opening),
}


def of(role: str) -> list[str]:
    """The points of a role, by name."""
    return [name for name, point in POINTS.items() if point.role == role]


# --- In the test ----------------------------------------------------------------------------------

_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(["flashsale.asgi", "flashsale.web", "celery.bin.worker"])


@contextmanager
def server(door: socket.socket, point: Point | None = None) -> Iterator[BaseProcess]:
    """`flashsale.web` at that door."""
    with _running(_serve, door, point) as process:
        yield process


@contextmanager
def worker(point: Point | None = None, without: str = "") -> Iterator[BaseProcess]:
    """A Celery worker, which is the caretaker as well; `without` names a function that does nothing."""
    with _running(_work, point, without) as process:
        yield process


@contextmanager
def _running(run: Callable[..., None], *args: object) -> Iterator[BaseProcess]:
    process = _fork.Process(target=run, args=args)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def killed(process: BaseProcess) -> bool:
    """Waits until it ends. Whether it was by SIGKILL, and so at its point."""
    process.join(DEADLINE)
    return process.exitcode == -signal.SIGKILL


# --- In the new process ---------------------------------------------------------------------------


def _serve(door: socket.socket, point: Point | None) -> None:
    from flashsale import asgi  # noqa: F401  # only here: it is not to be imported by a test
    from flashsale.http import listening, server

    with dying_at(point):
        listening.allow_many_sockets()
        server.serve(door)


def _work(point: Point | None, without: str) -> None:
    from celery.__main__ import main

    with dying_at(point), patch(without, nothing) if without else nullcontext():
        sys.argv = WORKER[2:]
        main()


def dying_at(point: Point | None) -> ExitStack:
    patched = ExitStack()
    if point:
        patched.enter_context(patch(point.target, deadly(point)))
        # So that also the tale of a small sale has parts.
        patched.enter_context(patch("orders.replication._PART", 5))
        for batch in ("orders.holds.BATCH", "orders.standby.BATCH"):
            patched.enter_context(patch(batch, 10))
        patched.enter_context(patch("orders.draws.allotting.BATCH", 5))
        for where in ("payments.transitions.LEASE", "payments.reconciler.LEASE"):
            patched.enter_context(patch(where, timedelta(seconds=1)))
    return patched


def deadly(point: Point) -> Callable[..., Any]:
    """The function at this point, at which the process dies."""
    real, hits = resolve_name(point.target), itertools.count(1)

    def reach(when: str, *args: Any, **options: Any) -> None:
        if when == point.when and point.only(*args, **options) and next(hits) == point.hit:
            os.kill(os.getpid(), signal.SIGKILL)

    def call(*args: Any, **options: Any) -> Any:
        reach(BEFORE, *args, **options)
        result = real(*args, **options)
        reach(AFTER, *args, **options)
        return result

    async def await_it(*args: Any, **options: Any) -> Any:
        reach(BEFORE, *args, **options)
        result = await real(*args, **options)
        reach(AFTER, *args, **options)
        return result

    return await_it if inspect.iscoroutinefunction(real) else call
