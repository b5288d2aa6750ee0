"""The steps for real: the gate's scripts on Valkey, settlement, the caretaker and staff on PostgreSQL.

Each step has its like in `reference.Reference`, of the same name.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import connection
from django.utils.module_loading import import_string

from flashsale.redis import blocking_clients, web_connections
from inventory.gate import admission
from inventory.gate.scripts import keys
from inventory.models import Sale
from orders import (
    cancellation,
    caretaker,
    confirmation,
    finishing,
    holds,
    sale_lifecycle,
    settlement,
    stock_changes,
)
from tests import deadlines, servers, stack
from tests.cast import at_once
from tests.model import backups
from tests.model.reference import Passing, Ticket

# The points at which a step can be killed, or overtaken: before these functions, or after them.
_BEFORE, _AFTER = True, False
_POINTS = (
    ("orders.settlement._write", "before the commit", _BEFORE),
    ("orders.audit_trail.write_down", "before the commit", _BEFORE),
    ("orders.changes.count_orders", "before the commit", _AFTER),
    ("orders.holds.count_orders", "before the commit", _AFTER),
    ("orders.replication.replicate", "committed", _BEFORE),
    ("inventory.gate.replica.lower_bell", "bell to be lowered", _BEFORE),
    ("inventory.gate.replica.read_line", "line read", _AFTER),
    ("orders.replication.delta_since", "tale read", _AFTER),
    ("inventory.gate.replica.apply_part", "part told", _AFTER),
    ("inventory.gate.replica.begin_epoch", "marked", _AFTER),
    ("inventory.gate.replica.load_scripts", "scripts loaded", _AFTER),
    ("inventory.gate.replica.read_pulses", "pulse felt", _AFTER),
    ("inventory.gate.replica.empty_gate", "emptied", _AFTER),
    ("orders.replication._adopt_epoch", "mark adopted", _AFTER),
    ("inventory.gate.replica.purge_gate", "purged", _AFTER),
)
POINTS = sorted({point for _, point, _ in _POINTS})


class Shop:
    """One sale, and whatever can be done to it."""

    def __init__(self, sale: Sale) -> None:
        self.sale = sale.pk
        self.variants = {variant.sku: variant.pk for variant in sale.variants.all()}
        self.copies: list[dict[str, bytes]] = []
        self.backups: list[tuple[backups.Rows, int]] = []

    # --- Shoppers ---------------------------------------------------------------------------------

    def click(self, ticket: Ticket) -> str:
        verdict = _in_the_loop(
            admission.admit(
                self.sale,
                *ticket,
                "192.0.2.1",
                per_shopper=0,
                per_address=0,
                bound=100_000,
                networks=("0123456789abcdef",),
            )
        )
        if verdict.answer:
            return f"{verdict.code} {verdict.answer.status} {verdict.answer.reason}"
        return f"{verdict.code} {verdict.reason}".strip()

    # --- Workers and the caretaker ----------------------------------------------------------------

    def settle(self) -> None:
        settlement.settle(self.sale)

    def settle_by_two(self) -> None:
        _both(at_once(self.settle, self.settle))

    def heal(self) -> None:
        caretaker.heal_all()

    def heal_by_two(self) -> None:
        _both(at_once(self.heal, self.heal))

    # --- Holds ------------------------------------------------------------------------------------

    def confirm(self, purchase: UUID) -> None:
        confirmation.confirm_hold(purchase)

    def give_back(self, purchase: UUID) -> None:
        cancellation.give_back(purchase)

    def expire(self) -> None:
        """All holds end, as if a day had passed."""
        with patch.object(holds, "GRACE", -24 * 3600):
            holds.expire(self.sale, list(self.variants.values()))

    # --- Staff ------------------------------------------------------------------------------------

    def restock(self, sku: str, units: int) -> None:
        stock_changes.restock(self.variants[sku], units, by="anna")

    def correct(self, sku: str, units: int) -> None:
        stock_changes.correct(self.variants[sku], units, by="anna", reason="counted again")

    def cancel(self, purchase: UUID) -> None:
        cancellation.cancel_order(purchase, by="ben")

    def pause(self) -> None:
        sale_lifecycle.pause(self.sale, by="anna")

    def resume(self) -> None:
        sale_lifecycle.resume(self.sale, by="anna")

    def end(self) -> None:
        sale_lifecycle.end(self.sale, by="anna")

    def change_limit(self, limit: int) -> None:
        sale_lifecycle.change_limit(self.sale, limit, by="anna")

    def finish(self) -> None:
        finishing.finish_sales()

    # --- Misfortune -------------------------------------------------------------------------------

    def restart(self, really: bool) -> None:
        """All comes back from the append-only file, but the scripts are forgotten."""
        if not really:
            blocking_clients.client_of(0).script_flush()
            return
        servers.VALKEY.kill()
        stack.wait_for(lambda: not servers.VALKEY.alive(), "Valkey is gone")
        servers.VALKEY.start()
        _in_the_loop(_hang_up())

    def wipe(self, scripts_too: bool) -> None:
        blocking_clients.client_of(0).flushall()
        if scripts_too:
            blocking_clients.client_of(0).script_flush()

    def replaced(self, empty: bool) -> None:
        """Redis is another one, and the caretaker has noticed before anybody else goes on."""
        if empty:
            self.wipe(scripts_too=True)
        else:
            self.restart(really=False)
        self.heal()

    def keep_copy(self) -> None:
        redis = blocking_clients.client_of(0)
        dumped = {key: redis.dump(key) for key in keys(self.sale)}
        self.copies.append({key: value for key, value in dumped.items() if value})

    def bring_back_copy(self, number: int, noticed: bool) -> None:
        """Redis is restored from an older copy. It forgets the scripts, as whoever is started does;
        that it might go unnoticed is worse than it can be."""
        with blocking_clients.client_of(0).pipeline(transaction=True) as pipe:
            pipe.delete(*keys(self.sale))
            for key, dumped in self.copies[number].items():
                pipe.restore(key, 0, dumped)
            pipe.execute()
        if noticed:
            blocking_clients.client_of(0).script_flush()

    def back_up(self) -> None:
        self.backups.append((backups.back_up(self.sale), len(self.copies)))

    def restore_backup(self, number: int) -> None:
        """What was made after it is of a history that never was. The caretaker is the first to see."""
        rows, copies = self.backups[number]
        backups.restore(self.sale, rows)
        del self.backups[number + 1 :], self.copies[copies:]
        self.heal()


@contextmanager
def points_reached(point: str, reached: Passing) -> Iterator[None]:
    """Calls `reached` whenever that point is, with whether locks are held there."""
    with ExitStack() as patches:
        for target, name, first in _POINTS:
            if name == point:
                patches.enter_context(patch(target, _reaching(target, reached, first)))
        yield


def _reaching(target: str, reached: Passing, first: bool) -> Callable[..., Any]:
    real = import_string(target)

    def reaching(*args: Any, **options: Any) -> Any:
        if first:
            reached(connection.in_atomic_block)
        result = real(*args, **options)
        if not first:
            reached(connection.in_atomic_block)
        return result

    return reaching


_elsewhere = ThreadPoolExecutor(1, thread_name_prefix="somebody-else")


def elsewhere(work: Callable[[], object]) -> None:
    """Has somebody else do it, from beginning to end, with connections of their own."""

    def work_and_close() -> None:
        try:
            work()
        finally:
            connection.close()

    _elsewhere.submit(work_and_close).result(deadlines.seconds(60))


def _both(results: list[object]) -> None:
    """Of two at once one may have had nothing to do; where one met a failure, so would one alone."""
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _hang_up() -> None:
    """Otherwise a click may meet a connection that died with the server, and its answer is lost."""
    await web_connections.close_pipes()


def _in_the_loop(clicking: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(clicking, _loop()).result(deadlines.seconds(60))


def _loop() -> asyncio.AbstractEventLoop:
    if not _loops:
        _loops.append(asyncio.new_event_loop())
        threading.Thread(target=_loops[0].run_forever, name="clicks", daemon=True).start()
    return _loops[0]


_loops: list[asyncio.AbstractEventLoop] = []
