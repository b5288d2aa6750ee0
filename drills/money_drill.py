"""The drill behind `manage.py chaos --orders`, in a process of its own: `python -m drills.money_drill`.

It starts a private shop and a bank, holds many orders at once, and sends their shoppers to the checkout:
half pay, a third expire, the rest are cancelled. Meanwhile web processes, worker, bank, Valkey and
PostgreSQL are killed, frozen and restarted. At the end the bank's books are compared with the orders.
"""

import argparse
import json
import logging
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from drills.bank_keeper import NAME, BankKeeper
from drills.chaos import show_progress
from drills.faults import FREEZE, KILL, POSTGRESQL, RESTART, VALKEY, Saboteur, schedule
from drills.private_shop import HOST, ending_signals, make_sale, start_shop, wait_for
from ops.base_command import INTERRUPTED

if TYPE_CHECKING:
    from drills.crowd import Say
    from drills.money_aftermath import MoneyAftermath
    from drills.money_crowd import MoneyCrowd
    from drills.money_staff import MoneyStaff
    from inventory.gate.entries import Entry
    from inventory.models import Sale

T = TypeVar("T")

VARIANTS = 3
_HOLD = 600  # minutes: no hold ends by itself
_REST = 240.0  # seconds in which every payment has to come to its end afterwards
_TARGETS = ("web-1", "web-2", "worker", NAME, POSTGRESQL, VALKEY)
EVERYTHING = tuple(product((KILL, FREEZE, RESTART), _TARGETS))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m drills.money_drill", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("orders", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", type=Path, help="file for the output of the shop")
    options = parser.parse_args()
    bank = BankKeeper(options.seed)
    with show_progress() as say, start_shop(**bank.environment) as (folder, port):
        bank.start(folder, port)
        try:
            aftermath = drill(
                folder, port, bank, options.seconds, options.seed, options.orders, say
            )
        finally:
            bank.stop()
            if options.log:
                shutil.copy(folder / "up.log", options.log)
    print(json.dumps(aftermath.as_json()) if options.json else aftermath.as_text())
    return aftermath.exit_code


def drill(
    folder: Path, port: int, bank: BankKeeper, seconds: float, seed: int, orders: int, say: "Say"
) -> "MoneyAftermath":
    """Carry out the faults while the shoppers go on their errands, and return the results."""
    from drills import held_orders
    from drills.http import Site
    from drills.money_crowd import MoneyCrowd
    from drills.money_plan import EXPIRES, Group, draw_errands
    from drills.money_staff import MoneyStaff

    logging.disable(logging.WARNING)  # servers are away on purpose
    errands = draw_errands(orders, random.Random(seed))  # noqa: S311  # repeatable on purpose
    sale, entries = hold_orders(orders, say)
    saboteur = Saboteur(folder, schedule(seed, seconds, EVERYTHING))
    staff = MoneyStaff(sale, [entry.purchase for entry in entries], errands, seconds)
    crowd = MoneyCrowd(Site(f"http://{HOST}:{port}"), entries, errands, seconds, seed)
    expiring = [
        entry.purchase
        for entry, errand in zip(entries, errands, strict=True)
        if errand.group is Group.EXPIRED
    ]
    held_orders.end_holds(sale, expiring, EXPIRES * seconds)
    say(f"seed {seed}: {orders:,} orders are held, {seconds:g} s of faults")
    with ExitStack() as ending:
        for helper in (staff, saboteur):
            helper.start()
            ending.callback(helper.stop)
        crowd.shop()
    say("waiting until every payment has its end")
    rested = come_to_rest(sale, entries, bank)
    return judge(seed, seconds, saboteur, staff, crowd, sale, bank, rested)


def hold_orders(orders: int, say: "Say") -> tuple["Sale", "list[Entry]"]:
    from drills import held_orders

    say(f"holding {orders:,} orders")
    units = -(-orders // VARIANTS)
    sale = make_sale(
        1, VARIANTS, units, hold=_HOLD, ask="address", payment="demo", terms="Be kind."
    )
    skus = list(sale.variants.order_by("pk").values_list("sku", flat=True))
    entries = held_orders.make_entries(sale, skus, orders)
    held_orders.hold(sale, entries)
    assert sale.orders.filter(status="held").count() == orders
    return sale, entries


def come_to_rest(sale: "Sale", entries: "Sequence[Entry]", bank: BankKeeper) -> float:
    """End the holds that are left, and wait until every payment has its end. Returns the seconds that it
    took; payments without one after a while are found later."""
    from drills import held_orders
    from drills.bank import count_events
    from drills.money_check import count_open
    from payments.models import ProviderEvent

    began = time.monotonic()
    again(lambda: held_orders.end_holds(sale, [entry.purchase for entry in entries], 0))

    def rests() -> bool:
        time.sleep(0.5)
        # In the order in which one leads to the next.
        waits = (
            sale.orders.filter(status="held").exists()
            or count_events(bank.books)
            or ProviderEvent.objects.filter(due__isnull=False).exists()
            or count_open(sale)
        )
        return not waits or time.monotonic() - began > _REST

    wait_for(lambda: again(rests), _REST + 60)
    return time.monotonic() - began


def judge(
    seed: int,
    seconds: float,
    saboteur: Saboteur,
    staff: "MoneyStaff",
    crowd: "MoneyCrowd",
    sale: "Sale",
    bank: BankKeeper,
    rested: float,
) -> "MoneyAftermath":
    from drills.bank import read_books
    from drills.checkout_report import settle_checkouts
    from drills.money_aftermath import MoneyAftermath
    from drills.money_check import Payment
    from inventory.gate import replica
    from payments import reconciliation

    wait_for(lambda: again(lambda: replica.read_view(sale.pk).ready))
    books = [Payment(*row) for row in read_books(bank.books)]
    report = settle_checkouts(sale, crowd.log, 0, books)
    verified = reconciliation.verify(sale.pk)
    return MoneyAftermath(
        seed,
        seconds,
        saboteur.began,
        saboteur.injections,
        staff.log,
        crowd.log,
        report,
        verified,
        rested,
    )


def again(ask: Callable[[], T]) -> T:
    """Ask until the servers, which were killed a moment ago, answer."""
    from django.db import DatabaseError
    from redis import RedisError

    from flashsale.database import drop_broken_connections
    from orders.changes import NotReplicated

    found: list[T] = []

    def try_once() -> bool:
        try:
            found.append(ask())
        except NotReplicated:  # done, and the caretaker replicates it
            return False
        except (DatabaseError, RedisError):
            drop_broken_connections()
            return False
        return True

    wait_for(try_once)
    return found[0]


if __name__ == "__main__":
    for number in ending_signals():
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        if "--json" in sys.argv:
            print(json.dumps({"error": "interrupted"}))
        sys.exit(INTERRUPTED)
