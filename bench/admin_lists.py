"""Measures the lists of Django admin in a private shop with many orders: `python -m bench.admin_lists`.

It starts a private shop, logs in over HTTP as staff, and requests each list several times, one request
after the other. Queries are counted in this process, which runs the same code on the same data. At the end
the sale is reconciled.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

from drills.private_shop import HOST, say, start_shop, wait_for

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from inventory.models import Sale, Variant

MOST_QUERIES = 15
MOST_MS = 300

VARIANTS = 20
IN_A_BATCH = 200
AUDIT_ROWS = 10_000
DRAFTS = 100

_PASSWORD = "only-for-this-drill"  # noqa: S105  # of a temporary shop

# Ids of the form that tickets have, so that references can be looked up: the sale, then UUID version 8.
_ORDERS = """
INSERT INTO orders_order (id, sale_id, product_id, shopper, quantity, unit_price, currency,
                          status, reason, version, accepted_at, settled_at)
SELECT (lpad(to_hex(%(sale)s), 8, '0') || substr(random, 1, 4) || '8' || substr(random, 5, 3)
        || substr(random, 17))::uuid,
       %(sale)s, (%(products)s::bigint[])[1 + n %% %(many)s], gen_random_uuid(), 1, 100, 'EUR',
       'confirmed', '', %(version)s + 1 + n / %(batch)s, now(), now()
FROM (SELECT n, replace(gen_random_uuid()::text, '-', '') AS random
      FROM generate_series(0, %(orders)s - 1) AS n) AS drawn
"""
_UNITS = """
SELECT version, product_id, count(*) FROM orders_order WHERE sale_id = %s
GROUP BY version, product_id ORDER BY version
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.admin_lists", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=15, help="for each list")
    options = parser.parse_args()
    with start_shop() as (_, port):
        sale = make_sold_sale(options.orders)
        staff = create_staff()
        say(f"{options.orders:,} orders; median of {options.requests} requests:")
        browser = log_in(f"http://{HOST}:{port}", staff.username)
        for name, path in list_addresses(sale):
            seconds = time_requests(browser, f"http://{HOST}:{port}{path}", options.requests)
            say(format_row(name, count_queries(staff, path), seconds))
        from orders import reconciliation

        say("reconciliation: " + ("ok" if reconciliation.verify().balanced else "FAULTS"))


# --- Measuring ----------------------------------------------------------------------------------


def list_addresses(sale: "Sale") -> Iterable[tuple[str, str]]:
    order = sale.orders.order_by("version", "id")[0]
    orders = "/admin/orders/order/"
    pages = (sale.orders.count() + 99) // 100
    yield "products", "/admin/inventory/product/"
    yield "sales", "/admin/inventory/sale/"
    yield "orders", orders
    yield "orders, last page", f"{orders}?p={pages}"
    yield "orders of a sale", f"{orders}?sale={sale.pk}"
    yield "orders, cancelled", f"{orders}?status__exact=cancelled"
    yield "order by reference", f"{orders}?q={order.reference}"
    yield "order by id", f"{orders}?q={order.pk}"
    yield "orders by shopper", f"{orders}?q={order.shopper}"
    yield "orders by sku", f"{orders}?q={order.sku}"
    yield "movements", "/admin/inventory/stockmovement/"
    yield "movements by sku", "/admin/inventory/stockmovement/?q=admin-7"
    yield "audit", "/admin/orders/auditentry/"
    yield "audit by actor", "/admin/orders/auditentry/?q=anna"


def format_row(name: str, queries: int, seconds: list[float]) -> str:
    median = statistics.median(seconds) * 1000
    within = queries <= MOST_QUERIES and median <= MOST_MS
    slowest = max(seconds) * 1000
    return (
        f"  {name:20} {queries:2} queries {median:6.0f} ms (slowest {slowest:.0f} ms)"
        f"{'' if within else f'  MORE THAN {MOST_QUERIES} queries or {MOST_MS} ms'}"
    )


def time_requests(browser: OpenerDirector, address: str, requests: int) -> list[float]:
    """Time each complete answer, in seconds. The first is dropped: it fills caches and plans queries."""
    return [time_call(lambda: fetch_page(browser, address)) for _ in range(requests + 1)][1:]


def time_call(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def count_queries(staff: "User", path: str) -> int:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    browser = Client(SERVER_NAME="localhost")
    browser.force_login(staff)
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get(path)
    assert answer.status_code == 200, (answer.status_code, path)
    return len(captured)


# --- The shop -----------------------------------------------------------------------------------


def make_sold_sale(orders: int) -> "Sale":
    """Make an open sale with so many orders, as settlement would leave them, and with an audit trail."""
    from django.db import connection, transaction

    from inventory import stock
    from inventory.gate import replica
    from inventory.models import Sale
    from orders import sale_lifecycle

    with transaction.atomic(), connection.cursor() as cursor:
        variants = [make_variant(number, orders) for number in range(VARIANTS)]
        sale = make_draft("admin-lists", variants)
        rows: dict[str, Any] = {
            "sale": sale.pk,
            "products": [variant.pk for variant in variants],
            "many": VARIANTS,
            "version": sale.version,
            "batch": IN_A_BATCH,
            "orders": orders,
        }
        cursor.execute(_ORDERS, rows)
        cursor.execute(_UNITS, [sale.pk])
        batches: dict[int, dict[int, int]] = {}
        for version, variant, units in cursor.fetchall():
            batches.setdefault(version, {})[variant] = units
        for version, units_of in batches.items():
            sold = {"sold": list(units_of), "units": list(units_of.values())}
            cursor.execute(
                f"WITH {stock.SELLING} SELECT", {"sale": sale.pk, "version": version, **sold}
            )
        Sale.objects.filter(pk=sale.pk).update(version=max(batches), confirmed=orders)
        write_audit(sale)
    for number in range(DRAFTS):
        make_draft(f"draft-{number}", [])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    sale_lifecycle.schedule(sale.pk, by="bench")
    wait_for(lambda: replica.read_view(sale.pk).ready)
    sale.refresh_from_db()
    return sale


def make_variant(number: int, units: int) -> "Variant":
    from inventory import stock
    from inventory.models import StockMovement, Variant
    from inventory.products import Product

    sku = f"admin-{number}"
    product, _ = Product.objects.get_or_create(name="Shoe")
    variant = Variant.objects.create(
        product=product, sku=sku, option=sku, price=100, currency="EUR"
    )
    stock.move(variant, units, StockMovement.Reason.RECEIVED, actor="bench")
    return variant


def make_draft(name: str, variants: "list[Variant]") -> "Sale":
    from django.utils import timezone

    from inventory.models import Listing, Sale

    opens_at = timezone.now() - timedelta(minutes=1)
    closes_at = opens_at + timedelta(hours=1)
    sale = Sale.objects.create(slug=name, name=name, opens_at=opens_at, closes_at=closes_at)
    for variant in variants:
        Listing.objects.create(sale=sale, variant=variant)
    return sale


def write_audit(sale: "Sale") -> None:
    from orders.models import AuditEntry

    AuditEntry.objects.bulk_create(
        AuditEntry(
            action=AuditEntry.Action.LIMIT,
            actor="anna",
            subject=sale.slug,
            sale=sale,
            before={"limit": number},
            after={"limit": number + 1},
        )
        for number in range(1, AUDIT_ROWS + 1)
    )


def create_staff() -> "User":
    """Create a member of staff with every permission, so that the lists include their controls."""
    from django.contrib.auth.models import Permission, User

    staff = User.objects.create_user("anna", password=_PASSWORD, is_staff=True)
    apps = ("inventory", "orders")
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label__in=apps))
    return staff


# --- The browser ----------------------------------------------------------------------------------


def log_in(site: str, name: str) -> OpenerDirector:
    """Load the login page and send its form."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    login = f"{site}/admin/login/?next=/admin/"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', fetch_page(browser, login))
    assert token
    form = {"username": name, "password": _PASSWORD, "csrfmiddlewaretoken": token[1]}
    sent = Request(login, urlencode(form).encode(), {"Referer": login})  # noqa: S310  # a loopback address
    with browser.open(sent) as answer:
        assert answer.url == f"{site}/admin/", answer.url
    return browser


def fetch_page(browser: OpenerDirector, address: str) -> str:
    with browser.open(address) as answer:
        return str(answer.read().decode())


if __name__ == "__main__":
    main()
