"""Measures a draw of very many entries: `python -m bench.draws`.

It starts a private shop with its worker, writes the entries by SQL, rebuilds the gate, lets the draw be
due, and waits until each entry has its outcome and the gate has all of them. Times count from the
draw's time. Memory is what the shop's processes have for themselves, without PostgreSQL's buffers.
"""

import argparse
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processor import read_memory, read_seconds
from drills.private_shop import BackgroundWork, make_sale, say, start_shop, wait_for

if TYPE_CHECKING:
    from inventory.models import Sale

_SAMPLE = 0.5  # seconds between looks at the memory
_PAUSE = 0.02
_PATIENCE = 900.0

# As settlement writes them. An id begins with the sale's number: `orders/tickets.py`.
_ENTER = """
INSERT INTO orders_order (id, sale_id, product_id, shopper, quantity, unit_price, currency, status, reason,
                          version, accepted_at, settled_at, product_name, option, sku)
SELECT (lpad(to_hex(%(sale)s), 8, '0') || substr(md5(n || '-' || random()), 1, 24))::uuid, %(sale)s, p.id,
       gen_random_uuid(), 1 + n %% %(most)s, 100, 'EUR', 'waiting', '', %(version)s, now(), now(), p.name,
       '', p.sku
FROM generate_series(1, %(entries)s) AS n, inventory_product AS p WHERE p.id = %(variant)s
"""
_DUE = "UPDATE inventory_sale SET draw_at = now() WHERE id = %s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.draws", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument(
        "--standby", action="store_true", help="losers get a place instead of a rejection"
    )
    parser.add_argument("--hold", type=int, default=10, help="minutes")
    options = parser.parse_args()
    with start_shop() as (folder, _):
        sale = make_due(options.entries, options.units, options.hold, standby=options.standby)
        say(measure(folder, sale))


def make_due(entries: int, units: int, hold: int, *, standby: bool) -> "Sale":
    """Make a sale with so many entries, which the gate has."""
    from django.utils import timezone

    soon = timezone.now() + timedelta(hours=1)
    sale = make_sale(1, units=units, hold=hold, draw_at=soon, standby=standby)
    enter(sale, entries)
    say(f"{entries:,} entries for {units:,} units are in the gate and wait")
    return sale


def measure(folder: Path, sale: "Sale") -> str:
    """Draw the sale of the shop in `folder`. Returns the figures as lines."""
    from inventory.gate import replica
    from orders import reconciliation
    from orders.models import Draw

    seen: dict[str, float] = {}
    before = read_seconds(folder)
    with sampled_memory(folder) as peaks:
        began = let_it_be_due(sale)

        def is_over() -> bool:
            drawn = Draw.objects.get(pk=sale.pk)
            sale.refresh_from_db()
            steps = {
                "frozen": drawn.frozen_at,
                "ranked": drawn.seed,
                "first outcomes": drawn.allotted,
                "done": drawn.drawn_at,
            }
            if drawn.drawn_at and replica.read_view(sale.pk).version >= sale.version:
                steps["told"] = drawn.drawn_at
            for name in (name for name, reached in steps.items() if reached):
                seen.setdefault(name, time.time() - began)
            time.sleep(_PAUSE)
            return "told" in seen

        wait_for(is_over, _PATIENCE)
    used = read_seconds(folder)
    report = reconciliation.verify(sale.pk)
    lines = [f"{name} after {at:.1f} s" for name, at in seen.items()]
    lines += [f"{sale.held + sale.confirmed:,} orders got units"]
    lines += [
        f"{role}: {used[role] - before[role]:.1f} s of processor, at most {size / 1e6:.0f} MB"
        for role, size in sorted(peaks.items())
    ]
    lines += [f"reconciliation: {'ok' if report.balanced else report.as_json()['faults']}"]
    return "\n".join(lines)


def enter(sale: "Sale", entries: int) -> None:
    """Write the entries, and wait until the gate is rebuilt with them."""
    from inventory.gate import replica

    version = write_entries(sale, entries)

    def is_rebuilt() -> bool:
        view = replica.read_view(sale.pk)
        time.sleep(_PAUSE)
        return view.ready and view.version >= version

    wait_for(is_rebuilt, _PATIENCE)


def write_entries(sale: "Sale", entries: int, most: int = 1) -> int:
    """Write so many entries, of 1 to `most` units in turn, and empty the gate, which the caretaker then
    rebuilds with them. Returns the sale's version."""
    from django.db import connection

    from inventory.gate import replica
    from orders.changes import change_unreplicated

    variant = sale.variants.get()
    with change_unreplicated([sale.pk]) as (locked,), connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_timeout = 0")
        asked = {"sale": sale.pk, "variant": variant.pk, "version": locked.version}
        cursor.execute(_ENTER, asked | {"entries": entries, "most": most})
        locked.waiting = {variant.sku: entries}
        version: int = locked.version
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orders_order")
    replica.empty_gate(sale.pk)
    return version


def let_it_be_due(sale: "Sale") -> float:
    """Set the draw's time to now. Returns it in seconds since 1970."""
    from django.db import connection

    from orders.changes import change_sales

    switch = "ALTER TABLE inventory_sale {} TRIGGER sale_goes_forward"
    with change_sales([sale.pk]), connection.cursor() as cursor:
        cursor.execute(switch.format("DISABLE"))
        cursor.execute(_DUE, [sale.pk])
        cursor.execute(switch.format("ENABLE"))
    return time.time()


@contextmanager
def sampled_memory(folder: Path) -> Iterator[dict[str, float]]:
    """The greatest number of bytes that the processes of each role had for themselves."""
    peaks: dict[str, float] = defaultdict(float)

    def sample(stopping: threading.Event) -> None:
        while not stopping.wait(_SAMPLE):
            for role, size in read_memory(folder, "Pss_Anon").items():
                peaks[role] = max(peaks[role], size)

    watching = BackgroundWork(sample, "memory")
    try:
        yield peaks
    finally:
        watching.stop()


if __name__ == "__main__":
    main()
