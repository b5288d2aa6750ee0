"""Clicks: how many are accepted, committed and refused, and how soon they are answered."""

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
from bench.serving import serving
from bench.stage import FASTEST, Stage, first_sku, prepare_bare
from bench.watching import dashboard
from drills.http import request
from drills.private_shop import wait_for

if TYPE_CHECKING:
    from inventory.models import Sale

_BATCH = 500
_REFUSED = 2000  # shoppers, who click again and again
_HASTY = 20  # of them, who have many tickets
_PLENTY = 10_000  # units that one of them may buy


def bare_writes(stage: Stage) -> None:
    """What the server, Redis and its disk allow."""
    for name, path, connections in (
        (POOL, "/write-by-pool", 256),
        *((name, "/write", connections) for connections, name in WRITES.items()),
    ):
        prepare_bare()
        load = _bare(stage, path, connections)
        stage.results.add(name, load.per_second(202))
    prepare_bare()


def _bare(stage: Stage, path: str, connections: int) -> wrk.Load:
    asked = request("POST", path, {"Host": "bare"}, b"")
    return wrk.load(stage.bare, connections, stage.seconds, [asked], again=True)


def accepted(stage: Stage, connections: int) -> None:
    """The whole path, under a load that is as large as it is answered."""
    with stage.sale() as sale:
        clicks = list(stage.clicks(sale, stage.seconds))
        before = processor.used(stage.folder)
        load = wrk.load(stage.port, connections, stage.seconds, clicks)
        over = time.perf_counter()
        committed = sale.orders.count()
        empty(sale)
        emptied = time.perf_counter() - over
        spent = processor.used(stage.folder)
        orders = sale.orders.count()
    # wrk hangs up on the clicks that are under way when its time is over.
    if not load.answers[202] <= orders <= load.answers[202] + connections:
        raise SystemExit(f"{load.answers[202]} were accepted, and {orders} are orders")
    results = stage.results
    results.add(ACCEPTED[connections], load.per_second(202))
    results.add(COMMITTED[connections], committed / load.seconds)
    results.add(EMPTY[connections], emptied * 1000)
    results.add(ACCEPT_P50[connections], load.p50)
    results.add(ACCEPT_P99[connections], load.p99)
    if connections == SPENT_AT:
        for role, name in SPENT.items():
            results.add(name, (spent[role] - before[role]) / orders * 1e6)


def empty(sale: "Sale") -> None:
    from inventory.gate import replica

    wait_for(lambda: replica.read_view(sale.pk).waiting == 0)


def sql_batches(stage: Stage) -> None:
    """What PostgreSQL and its disk allow: one transaction after the other that locks a row, inserts orders
    and lowers the stock, and nothing else. On tables of its own, which have the orders' indexes."""
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
INSERT INTO bench_orders (id, sale_id, product_id, shopper, quantity, unit_price, currency, status,
                          reason, version, accepted_at, settled_at)
SELECT id, 1, 1, shopper, 1, 100, 'EUR', 'confirmed', '', 1, now(), clock_timestamp()
FROM unnest(%s::uuid[], %s::uuid[]) AS t (id, shopper)
"""


def refused(stage: Stage) -> None:
    """Clicks that buy nothing: of those who have bought, come too late, or too often, or while nothing is
    sold."""
    from orders import lifecycle

    prepare_bare()
    stage.results.add(READS, _bare(stage, "/read", 256).per_second(409))
    stage.results.add(READS_LITTLE, _bare(stage, "/read-little", 256).per_second(409))
    with stage.sale() as sale:
        _refuse(stage, "limit", sale, _buyers(stage, sale))
        lifecycle.pause(sale.pk, by="staff")
        _refuse(stage, "paused", sale, _strangers())
    with replace(stage, units=1).sale() as sale:
        _buyers(stage, sale)
        _refuse(stage, "sold out", sale, _strangers())
    # A second's worth passes, then they are too fast. Each ticket once: an accepted one is known.
    with (
        serving("flashsale.web", RATE_PER_SHOPPER="1") as strict,
        stage.sale(limit=_PLENTY) as sale,
    ):
        few, sku = _strangers()[:_HASTY], first_sku(sale)
        clicks = (
            stage.click(sale, shopper, sku)
            for shopper in islice(cycle(few), round(stage.seconds * FASTEST))
        )
        load = wrk.load(strict, 256, stage.seconds, clicks)
        _only(load, "too fast", 429, 202)
        stage.results.add(REFUSED["too fast"], load.per_second(429))


def _strangers() -> list[UUID]:
    from flashsale.http import shoppers

    return [shoppers.new_shopper() for _ in range(_REFUSED)]


def _buyers(stage: Stage, sale: "Sale") -> list[UUID]:
    """Shoppers who have bought what they may, or all there is."""
    from orders.models import Order

    wrk.load(stage.port, 64, 1, stage.clicks(sale, 1))
    empty(sale)
    return list(Order.objects.filter(sale=sale).values_list("shopper", flat=True)[:_REFUSED])


def _refuse(stage: Stage, kind: str, sale: "Sale", shoppers: list[UUID]) -> None:
    """Each with a ticket that has bought nothing: what is refused uses none up."""
    sku = first_sku(sale)
    clicks = [stage.click(sale, shopper, sku) for shopper in shoppers]
    load = wrk.load(stage.port, 256, stage.seconds, clicks, again=True)
    _only(load, kind, 409)
    stage.results.add(REFUSED[kind], load.per_second(409))


def _only(load: wrk.Load, what: str, *statuses: int) -> None:
    if not load.answers.keys() <= set(statuses):
        raise SystemExit(f"{what}: answered {dict(load.answers)}")


def watched(stage: Stage) -> None:
    """What it costs the sale that a member of staff watches."""
    with stage.sale() as sale, dashboard(stage.port):
        load = wrk.load(stage.port, 256, stage.seconds, stage.clicks(sale, stage.seconds))
        empty(sale)
    stage.results.add(WATCHED, load.per_second(202))
