"""Measures clicks: rates of acceptance, commit and refusal, and the time to the answer."""

import secrets
import time
from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING
from uuid import UUID

from bench import processor, wrk
from bench.figures import (
    ACCEPT_P50,
    ACCEPT_P99,
    ACCEPTED,
    COMMITTED,
    EMPTY,
    POOL,
    READS,
    READS_LITTLE,
    REFUSED,
    SPENT,
    SPENT_AT,
    SQL,
    WATCHED,
    WRITES,
)
from bench.serving import serve_module
from bench.stage import FASTEST, Stage, first_sku, prepare_bare
from bench.watching import open_dashboard
from drills.http import request
from drills.private_shop import wait_for

if TYPE_CHECKING:
    from inventory.models import Sale

_BATCH = 500
_REFUSED = 2000  # shoppers who click again and again
_HASTY = 20  # shoppers with many tickets each
_PLENTY = 10_000  # units per shopper


def measure_bare_writes(stage: Stage) -> None:
    """Measure the limit of the server, Redis and its disk."""
    for name, path, connections in (
        (POOL, "/write-by-pool", 256),
        *((name, "/write", connections) for connections, name in WRITES.items()),
    ):
        prepare_bare()
        load = _load_bare(stage, path, connections)
        stage.results.add(name, load.per_second(202))
    prepare_bare()


def _load_bare(stage: Stage, path: str, connections: int) -> wrk.Load:
    click = request("POST", path, {"Host": "bare"}, b"")
    return wrk.run_load(stage.bare, connections, stage.seconds, [click], again=True)


def measure_accepted(stage: Stage, connections: int) -> None:
    """Measure the whole path; each connection sends its next click when the last one is answered."""
    with stage.open_sale() as sale:
        clicks = list(stage.make_clicks(sale, stage.seconds))
        before = processor.read_seconds(stage.folder)
        load = wrk.run_load(stage.port, connections, stage.seconds, clicks)
        over = time.perf_counter()
        committed = sale.orders.count()
        wait_for_empty_line(sale)
        emptied = time.perf_counter() - over
        spent = processor.read_seconds(stage.folder)
        orders = sale.orders.count()
    # At the end of its time wrk closes connections whose clicks are not answered yet.
    if not load.answers[202] <= orders <= load.answers[202] + connections:
        raise SystemExit(f"{load.answers[202]} clicks were accepted, and there are {orders} orders")
    results = stage.results
    results.add(ACCEPTED[connections], load.per_second(202))
    results.add(COMMITTED[connections], committed / load.seconds)
    results.add(EMPTY[connections], emptied * 1000)
    results.add(ACCEPT_P50[connections], load.p50)
    results.add(ACCEPT_P99[connections], load.p99)
    if connections == SPENT_AT:
        for role, name in SPENT.items():
            results.add(name, (spent[role] - before[role]) / orders * 1e6)


def wait_for_empty_line(sale: "Sale") -> None:
    from inventory.gate import replica

    wait_for(lambda: replica.read_view(sale.pk).in_line == 0)


def measure_sql_batches(stage: Stage) -> None:
    """Measure the limit of PostgreSQL and its disk: transactions, one after the other, that only lock a
    row, insert orders and lower the stock. They use separate tables with the same indexes."""
    from django.db import connection, transaction

    rows = [secrets.token_hex(16) for _ in range(_BATCH * 2)]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_orders (LIKE orders_order INCLUDING ALL)")
        cursor.execute("CREATE TABLE bench_stock AS SELECT 1 AS id, 1000000000 AS stock")
        began, batches = time.perf_counter(), 0
        while time.perf_counter() - began < stage.seconds:
            prefix = f"{batches:08x}"
            with transaction.atomic():
                cursor.execute("SELECT stock FROM bench_stock WHERE id = 1 FOR NO KEY UPDATE")
                cursor.execute(
                    _INSERT,
                    [
                        "{" + ",".join([prefix + row[8:] for row in rows[:_BATCH]]) + "}",
                        "{" + ",".join([prefix + row[8:] for row in rows[_BATCH:]]) + "}",
                    ],
                )
                cursor.execute("UPDATE bench_stock SET stock = stock - %s WHERE id = 1", [_BATCH])
            batches += 1
        took = time.perf_counter() - began
        cursor.execute("DROP TABLE bench_orders, bench_stock")
    stage.results.add(SQL, batches * _BATCH / took)


_INSERT = """
INSERT INTO bench_orders (id, sale_id, product_id, sku, shopper, quantity, unit_price, currency, status,
                          reason, version, accepted_at, settled_at)
SELECT id, 1, 1, 'bench', shopper, 1, 100, 'EUR', 'confirmed', '', 1, now(), clock_timestamp()
FROM unnest(%s::uuid[], %s::uuid[]) AS t (id, shopper)
"""


def measure_refused(stage: Stage) -> None:
    """Measure refusals: of shoppers at their limit, in a pause, after the stock is gone, and of too many
    clicks."""
    from orders import sale_lifecycle

    prepare_bare()
    stage.results.add(READS, _load_bare(stage, "/read", 256).per_second(409))
    stage.results.add(READS_LITTLE, _load_bare(stage, "/read-little", 256).per_second(409))
    with stage.open_sale() as sale:
        _measure_refusal(stage, "limit", sale, _buy_all(stage, sale))
        sale_lifecycle.pause(sale.pk, by="staff")
        _measure_refusal(stage, "paused", sale, _new_shoppers())
    with replace(stage, units=1).open_sale() as sale:
        _buy_all(stage, sale)
        _measure_refusal(stage, "sold out", sale, _new_shoppers())
    # One click per shopper and second passes. Each ticket is used once, since a replay is not refused.
    with (
        serve_module("flashsale.web", RATE_PER_SHOPPER="1") as strict,
        stage.open_sale(limit=_PLENTY) as sale,
    ):
        few, sku = _new_shoppers()[:_HASTY], first_sku(sale)
        clicks = (
            stage.make_click(sale, shopper, sku)
            for shopper in islice(cycle(few), round(stage.seconds * FASTEST))
        )
        load = wrk.run_load(strict, 256, stage.seconds, clicks)
        _check_answers(load, "too fast", 429, 202)
        stage.results.add(REFUSED["too fast"], load.per_second(429))


def _new_shoppers() -> list[UUID]:
    from flashsale.http import shoppers

    return [shoppers.new_shopper() for _ in range(_REFUSED)]


def _buy_all(stage: Stage, sale: "Sale") -> list[UUID]:
    """Send clicks for a second. Return shoppers who got an order: at their limit, or of the whole stock."""
    from orders.models import Order

    wrk.run_load(stage.port, 64, 1, stage.make_clicks(sale, 1))
    wait_for_empty_line(sale)
    return list(Order.objects.filter(sale=sale).values_list("shopper", flat=True)[:_REFUSED])


def _measure_refusal(stage: Stage, kind: str, sale: "Sale", shoppers: list[UUID]) -> None:
    """Refuse the same unused tickets again and again: a refusal does not use a ticket."""
    sku = first_sku(sale)
    clicks = [stage.make_click(sale, shopper, sku) for shopper in shoppers]
    load = wrk.run_load(stage.port, 256, stage.seconds, clicks, again=True)
    _check_answers(load, kind, 409)
    stage.results.add(REFUSED[kind], load.per_second(409))


def _check_answers(load: wrk.Load, kind: str, *statuses: int) -> None:
    if not load.answers.keys() <= set(statuses):
        raise SystemExit(f"{kind}: answered {dict(load.answers)}")


def measure_watched(stage: Stage) -> None:
    """Measure accepted clicks while a member of staff has the dashboard open."""
    with stage.open_sale() as sale, open_dashboard(stage.port):
        load = wrk.run_load(stage.port, 256, stage.seconds, stage.make_clicks(sale, stage.seconds))
        wait_for_empty_line(sale)
    stage.results.add(WATCHED, load.per_second(202))
