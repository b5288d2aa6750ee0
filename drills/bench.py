"""Measures a private shop on this machine: `python -m drills.bench`.

Starts `manage.py up` with data of its own, measures, prints a table, verifies the books, tears down.
The load generator runs on the same machine and takes its share of it.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import django
from websockets.asyncio.client import connect
from websockets.typing import Origin

from drills.http import Connection, post

if TYPE_CHECKING:
    from inventory.models import Sale

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
TOKEN = "t" * 32  # of a form against forgery, the same in cookie and form
DEADLINE = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m drills.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--clicks", type=int, default=500, help="one after the other, idle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flashsale-bench-") as folder, shop(folder) as port:
        say(idle(port, options.clicks, "in a row", pause=0.01))
        say(idle(port, options.clicks // 5, "each after a silence", pause=0.3))
        for connections in (64, 256):
            say(crowd(port, connections, options.seconds))
        say(pauses(port, 30))
        say(rebuild(100_000))
        say(balance())


def say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def shop(folder: str) -> Iterator[int]:
    """A running shop and its port; the settings of this process point at its servers."""
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    os.environ |= {
        "VAR_DIR": folder,
        "PORT": str(port),
        "RATE_PER_SHOPPER": "0",
        "RATE_PER_ADDRESS": "0",
        "DJANGO_SETTINGS_MODULE": "flashsale.settings",
    }
    log = Path(folder) / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "manage.py", "up"], cwd=ROOT, stdout=output, stderr=output
        )
    try:
        wait_for(lambda: "is open" in log.read_text() or ended(up, log))
        django.setup()
        yield port
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(DEADLINE)


def ended(up: "subprocess.Popen[bytes]", log: Path) -> bool:
    if up.poll() is not None:
        raise SystemExit(f"The shop did not start:\n{log.read_text()}")
    return False


# --- What is measured ---------------------------------------------------------------------------


def idle(port: int, clicks: int, how: str, pause: float) -> str:
    """From the click to "secured" on the same shopper's socket, one click after the other."""
    sale = make_sale(limit=clicks + 1)
    sku = sale.products.get().sku
    took = run(lambda: click_and_wait(port, sale.slug, sale.pk, sku, clicks, pause))
    return f"click to confirmed, idle, {clicks} clicks {how}: {percentiles(took)}"


async def click_and_wait(
    port: int, slug: str, sale: int, sku: str, clicks: int, pause: float
) -> list[float]:
    from flashsale import shoppers
    from orders import tickets

    shopper = shoppers.new_shopper()
    cookie = f"shopper={shoppers.cookie_value(shopper)}"
    site, took = f"{HOST}:{port}", []
    connection = await Connection.open(HOST, port)
    headers = {"Cookie": cookie, "Origin": f"http://{site}"}
    async with connect(f"ws://{site}/ws/sales/{slug}/", additional_headers=headers) as page:
        for _ in range(clicks):
            purchase = tickets.new_purchase(sale)
            form = f"ticket={tickets.ticket_for(purchase, shopper)}&product={sku}"
            request = post(f"/sales/{slug}/buy", site, cookie, form)
            began = time.perf_counter()
            accepted = asyncio.create_task(connection.send(request))
            await confirmed_on(page, purchase)
            took.append(time.perf_counter() - began)
            assert (await accepted).status in (200, 202)
            await asyncio.sleep(pause)
    connection.close()
    return took


async def confirmed_on(page: Any, purchase: UUID) -> None:
    async for frame in page:
        if f"purchase-{purchase}" in frame:
            assert 'data-status="confirmed"' in frame, frame
            return


def crowd(port: int, connections: int, seconds: float) -> str:
    """As many clicks as are answered; what was committed while the load was on, and after it."""
    from inventory import gate
    from orders.models import Order

    sale = make_sale(limit=1)
    asked = json.dumps(
        {
            "connections": connections,
            "seconds": seconds,
            "clicks": minted(sale, round(seconds * 12_000)),
        }
    )
    done = subprocess.run(
        [sys.executable, "-m", "drills.load", str(port)],
        cwd=ROOT,
        input=asked.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    drained_after = time.monotonic()
    wait_for(lambda: gate.view_now(sale.pk).waiting == 0)
    drained_after = time.monotonic() - drained_after
    result = json.loads(done.stdout)
    accepted = result["answers"].get("202", 0)
    orders = Order.objects.filter(sale=sale)
    over = result["began"] + result["seconds"]
    during = sum(1 for at in orders.values_list("settled_at", flat=True) if at.timestamp() < over)
    assert orders.count() == accepted, (orders.count(), result["answers"])
    close(sale)
    rest = {status: count for status, count in result["answers"].items() if status != "202"}
    return (
        f"{connections} connections, {result['seconds']:.1f} s:"
        f" accepted {accepted / result['seconds']:,.0f}/s ({percentiles(result['latencies'])}),"
        f" committed under the load {during / result['seconds']:,.0f}/s,"
        f" line empty {drained_after:.2f} s after it; other answers: {rest or 'none'}"
    )


def pauses(port: int, times: int) -> str:
    """From staff's click on "Pause" to the frame on a shopper's socket that says so."""
    sale = make_sale(limit=1)
    took = run(partial(pause_and_wait, port, sale.slug, sale.pk, staff_cookie(), times))
    close(sale)
    return f"a pause by staff to the shopper's page, {times} times: {percentiles(took)}"


def staff_cookie() -> str:
    """The cookies of somebody who may run sales, and has a form open."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    browser = Client()
    browser.force_login(User.objects.create_superuser(f"bench-{time.time_ns()}"))
    session = browser.cookies[settings.SESSION_COOKIE_NAME].value
    return f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={TOKEN}"


async def pause_and_wait(port: int, slug: str, sale: int, cookie: str, times: int) -> list[float]:
    site, took = f"{HOST}:{port}", []
    connection = await Connection.open(HOST, port)
    async with connect(f"ws://{site}/ws/sales/{slug}/", origin=Origin(f"http://{site}")) as page:
        for action, phase in (("pause", "paused"), ("resume", "open")) * times:
            form = f"csrfmiddlewaretoken={TOKEN}"
            request = post(f"/dashboard/sales/{sale}/{action}/", site, cookie, form)
            began = time.perf_counter()
            answer = asyncio.create_task(connection.send(request))
            await shown_on(page, f'id="state" class="state" data-phase="{phase}"')
            if action == "pause":
                took.append(time.perf_counter() - began)
            assert (await answer).status == 302
    connection.close()
    return took


async def shown_on(page: Any, words: str) -> None:
    async for frame in page:
        if words in frame:
            return


def rebuild(answers: int) -> str:
    """From a wiped Redis to an open gate, with so many confirmed orders to tell it again."""
    from django.db import connection, transaction

    from flashsale import redis_clients
    from inventory import gate, stock

    sale = make_sale(limit=1)
    product = sale.products.get()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders_order (id, sale_id, product_id, shopper, quantity, unit_price,"
            " currency, status, reason, version, accepted_at, settled_at)"
            " SELECT gen_random_uuid(), %s, %s, gen_random_uuid(), 1, 100, 'EUR', 'confirmed',"
            " '', %s, now(), now() FROM generate_series(1, %s)",
            [sale.pk, product.pk, sale.version, answers],
        )
        stock.lock([product.pk])
        stock.sell(sale.pk, sale.version, {product.pk: answers})
        cursor.execute("UPDATE inventory_sale SET confirmed = %s WHERE id = %s", [answers, sale.pk])
    redis_clients.blocking().flushall()
    began = time.monotonic()
    wait_for(lambda: gate.view_now(sale.pk).warm)
    took = time.monotonic() - began
    told = redis_clients.blocking().hlen(gate.keys(sale.pk).answers)
    return f"a wiped gate is open again with {told:,} answers after {took:.2f} s"


def balance() -> str:
    from orders import books

    report = books.verify()
    return "books: " + (
        "balanced" if report.balanced else json.dumps(report.as_json()["faults"], indent=2)
    )


# --- Helpers --------------------------------------------------------------------------------------


def make_sale(limit: int) -> "Sale":
    """A sale of one product that never sells out, open now, its gate warm."""
    from django.db import transaction
    from django.utils import timezone

    from inventory import gate, stock
    from inventory.models import Listing, Product, Sale, StockMovement
    from orders import sales

    now = timezone.now()
    name = f"bench-{time.time_ns()}"
    with transaction.atomic():
        sale = Sale.objects.create(
            slug=name,
            name=name,
            opens_at=now - timedelta(minutes=1),
            closes_at=now + timedelta(hours=1),
            limit=limit,
        )
        product = Product.objects.create(sku=name, name=name, price=100, currency="EUR")
        stock.move(product, 1_000_000, StockMovement.Reason.RECEIVED, actor="bench")
        Listing.objects.create(sale=sale, product=product)
    sales.schedule(sale.pk, by="staff")
    wait_for(lambda: gate.view_now(sale.pk).warm)
    sale.refresh_from_db()
    return sale


def close(sale: "Sale") -> None:
    """Out of the way of what is measured next."""
    from orders import sales

    sales.end(sale.pk, by="staff")
    wait_for(lambda: sales.finish(sale.pk))


def minted(sale: "Sale", clicks: int) -> list[tuple[str, str, str]]:
    """Path, cookie and form of so many clicks, each by a shopper of its own."""
    from flashsale import shoppers
    from orders import tickets

    sku = sale.products.get().sku
    found = []
    for _ in range(clicks):
        shopper = shoppers.new_shopper()
        form = f"ticket={tickets.issue(sale.pk, shopper)}&product={sku}"
        found.append((f"/sales/{sale.slug}/buy", f"shopper={shoppers.cookie_value(shopper)}", form))
    return found


def percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.005)


def run(work: Callable[[], Any]) -> Any:
    """In a thread with a loop of its own: the ORM refuses to work where a loop runs."""
    return asyncio.run(work())


if __name__ == "__main__":
    main()
