"""Measures what slows down as the shop grows: `python -m bench.growth --out FILE`.

It puts the same load on one sale with more and more variants, stock, entries in line, sales, shoppers and
orders. Takes 10 to 20 minutes. Writes JSON, which `tools/plots.py` draws. For more web processes use
`manage.py bench --web N`.
"""

import argparse
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import machine, processor, wrk
from bench.buying import wait_for_empty_line
from bench.figures import Results
from bench.stage import Stage, end_sale, start_stage
from drills.arguments import writable_file
from drills.private_shop import make_sale, say, wait_for
from flashsale.http.listening import allow_many_sockets

if TYPE_CHECKING:
    from inventory.models import Sale

CONNECTIONS = 64
_ROUNDS = 3
_PLENTY = 100_000_000  # units
_PATIENCE = 600.0  # seconds for a rebuild or a drain
Point = dict[str, float]
Series = Callable[[Stage], Iterator[Point]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--out", type=writable_file, required=True)
    options = parser.parse_args()
    if not wrk.installed():
        raise SystemExit(wrk.MISSING)
    allow_many_sockets()
    report: dict[str, Any] = {
        "machine": machine.describe_machine(),
        "connections": CONNECTIONS,
        "series": {},
    }
    with start_stage(options.seconds, Results()) as ready:
        for name in options.only:
            points = report["series"][name] = []
            for point in SERIES[name](ready):
                say(f"{name}: {point}")
                points.append(point)
            options.out.write_text(json.dumps(report, indent=1) + "\n")


def by_variants(ready: Stage) -> Iterator[Point]:
    for number in (1, 10, 100, 1000):
        with replace(ready, variants=number).open_sale() as sale:
            yield {"x": number} | _measure_load(ready, sale)


def by_stock(ready: Stage) -> Iterator[Point]:
    for number in (1, 1000, 1_000_000):
        with replace(ready, units=number).open_sale() as sale:
            yield {"x": number} | _measure_load(ready, sale)


def by_line(ready: Stage) -> Iterator[Point]:
    """Entries that wait in line while the worker is stopped, and the rate of settlement afterwards."""
    from inventory.gate import replica

    for number in (0, 10_000, 100_000):
        with ready.open_sale() as sale:
            with _stop_worker(ready):
                while replica.read_view(sale.pk).in_line < number:
                    wrk.run_load(ready.port, 256, 2, ready.make_clicks(sale, 2))
                waiting = replica.read_view(sale.pk).in_line
                point = {"x": waiting} | _measure_load(ready, sale, rounds=1)
                waiting = replica.read_view(sale.pk).in_line
            began = time.monotonic()
            wait_for_empty_line(sale)
            yield point | {"settled_per_second": waiting / (time.monotonic() - began)}


def by_sales(ready: Stage) -> Iterator[Point]:
    """Open sales beside the one under load."""
    others: list[Sale] = []
    for number in (1, 10, 100, 1000):
        others += [make_sale(1, wait=False) for _ in range(number - 1 - len(others))]
        with ready.open_sale() as sale:
            yield {"x": number} | _measure_load(ready, sale)
    for other in others:
        end_sale(other)


def by_purchases(ready: Stage) -> Iterator[Point]:
    """Memory of each process by role, with more and more purchases in one sale."""
    with ready.open_sale() as sale:
        for number in (0, 100_000, 200_000, 300_000):
            while sale.orders.count() < number:
                wrk.run_load(ready.port, 256, 5, ready.make_clicks(sale, 5))
                wait_for_empty_line(sale)
            yield {"x": sale.orders.count()} | processor.read_memory(ready.folder)


def by_shoppers(ready: Stage) -> Iterator[Point]:
    """Shoppers who have bought in the same sale: the gate holds each of them, with their answers."""
    from flashsale.redis import blocking_clients
    from inventory.gate import replica

    for number in (0, 10_000, 100_000, 1_000_000):
        with replace(ready, units=_PLENTY).open_sale() as sale:
            key = sale.pk
            _insert_orders(sale, number)
            blocking_clients.client_of(0).flushall()
            began = time.monotonic()
            wait_for(lambda key=key: replica.read_view(key).ready, _PATIENCE)  # type: ignore[misc]
            rebuilt = time.monotonic() - began
            yield {"x": number} | _measure_load(ready, sale) | {"rebuilt_after": rebuilt}


def by_orders(ready: Stage) -> Iterator[Point]:
    """Orders of other sales, in the same table."""
    from orders.models import Order

    for number in (0, 1_000_000, 10_000_000):
        past = make_sale(1, units=_PLENTY)
        while (missing := number - Order.objects.count()) > 0:
            _insert_orders(past, min(missing, 1_000_000))
        end_sale(past)
        with ready.open_sale() as sale:
            yield {"x": Order.objects.count()} | _measure_load(ready, sale)


SERIES: dict[str, Series] = {
    "products in the sale": by_variants,
    "stock": by_stock,
    "purchases in line": by_line,
    "open sales": by_sales,
    "purchases, and memory": by_purchases,
    "shoppers who have bought": by_shoppers,
    "orders in the table": by_orders,  # includes the orders of earlier series
}


# --- Helpers --------------------------------------------------------------------------------------


def _measure_load(ready: Stage, sale: "Sale", rounds: int = _ROUNDS) -> Point:
    """Measure medians of answers/s and p99 in ms. Refusals count too: a small stock is soon sold out."""
    rates, latencies = [], []
    for _ in range(rounds):
        clicks = list(ready.make_clicks(sale, ready.seconds))
        load = wrk.run_load(ready.port, CONNECTIONS, ready.seconds, clicks)
        rates.append(sum(load.answers.values()) / load.seconds)
        latencies.append(load.p99)
    return {"per_second": statistics.median(rates), "p99": statistics.median(latencies)}


@contextmanager
def _stop_worker(ready: Stage) -> Iterator[None]:
    pids = processor.find_pids(ready.folder, "worker")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _insert_orders(sale: "Sale", number: int) -> None:
    """Insert confirmed orders as settlement would, with ledger and stock."""
    from django.db import connection, transaction

    from inventory import stock

    if number <= 0:
        return
    variant = sale.variants.get()
    with transaction.atomic(), connection.cursor() as cursor:
        stock.lock([variant.pk])
        cursor.execute(_ORDERS, [sale.pk, variant.pk, sale.version, number])
        cursor.execute(
            f"WITH {stock.SELLING} SELECT",
            {"sale": sale.pk, "version": sale.version, "sold": [variant.pk], "units": [number]},
        )
        cursor.execute(
            "UPDATE inventory_sale SET confirmed = confirmed + %s WHERE id = %s", [number, sale.pk]
        )


_ORDERS = """
INSERT INTO orders_order (id, sale_id, product_id, shopper, quantity, unit_price, currency, status,
                          reason, version, accepted_at, settled_at)
SELECT gen_random_uuid(), %s, %s, gen_random_uuid(), 1, 100, 'EUR', 'confirmed', '', %s, now(), now()
FROM generate_series(1, %s)
"""


if __name__ == "__main__":
    main()
