"""Measures how soon holds that end in the same moment are on sale again: `python -m bench.holds`.

It starts a private shop with its worker, gives so many shoppers a hold that ends at one moment, and
waits until the gate offers all units again. Times count from the moment at which the holds may expire.
"""

import argparse
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from drills.private_shop import make_sale, say, start_shop, wait_for

if TYPE_CHECKING:
    from inventory.models import Sale

_IN_A_BATCH = 2000
_AHEAD = 3.0  # seconds until the holds may expire, for the preparations
_PAUSE = 0.01

_END_TOGETHER = """
UPDATE orders_order SET version = %s, hold_until = date_trunc('milliseconds', now())
    + (%s - %s) * interval '1 second'
WHERE sale_id = %s
RETURNING hold_until
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.holds", description=__doc__)
    parser.add_argument("--holds", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with start_shop():
        for number in range(options.rounds):
            say(f"round {number + 1}: {measure(options.holds)}")


def measure(holds: int) -> str:
    """Let so many holds end together. Returns the figures as a line."""
    from inventory.gate import replica
    from orders import reconciliation

    sale = make_sale(limit=1, units=holds, hold=10)
    [sku] = sale.variants.values_list("sku", flat=True)
    hold(sale, sku, holds)
    due = end_together(sale)
    before = replica.read_view(sale.pk)
    assert before.left(sku) == 0, before
    seen: list[tuple[float, int]] = []

    def all_back() -> bool:
        left = replica.read_view(sale.pk).left(sku)
        seen.append((time.time() - due, left))
        time.sleep(_PAUSE)
        return left == holds

    wait_for(all_back)
    first = next(at for at, left in seen if left)
    batches = replica.read_view(sale.pk).version - before.version
    report = reconciliation.verify(sale.pk)
    return (
        f"{holds:,} holds: the first units on sale again after {first:.2f} s, all after"
        f" {seen[-1][0]:.2f} s, in {batches} transactions;"
        f" reconciliation: {'ok' if report.balanced else report.faults}"
    )


def hold(sale: "Sale", sku: str, holds: int) -> None:
    """Let settlement decide so many entries that no gate has accepted."""
    from inventory.gate.entries import Entry
    from orders import replication, settlement
    from orders.tickets import new_purchase

    now = datetime.now(UTC)
    left = holds
    while left > 0:
        few = min(left, _IN_A_BATCH)
        entries = [
            Entry(f"0-{number}", new_purchase(sale.pk), uuid4(), sku, 1, now)
            for number in range(few)
        ]
        assert settlement.decide(sale.pk, sale.epoch, entries)
        left -= few
    replication.replicate(sale.pk)


def end_together(sale: "Sale") -> float:
    """Let all holds of the sale end at one moment. Returns when they may expire, in seconds since 1970."""
    from django.db import connection

    from orders.changes import change_sales
    from orders.holds import GRACE

    switch = "ALTER TABLE orders_order {} TRIGGER order_final"
    with change_sales([sale.pk]) as (locked,), connection.cursor() as cursor:
        cursor.execute(switch.format("DISABLE"))
        cursor.execute(_END_TOGETHER, [locked.version, _AHEAD, GRACE, sale.pk])
        [end] = cursor.fetchone()
        cursor.execute(switch.format("ENABLE"))
    return float(end.timestamp()) + GRACE


if __name__ == "__main__":
    main()
