"""Measures the lists of Django admin in a private shop with many orders: `python -m bench.admin_lists`.

Starts `manage.py up` with data of its own, logs in over HTTP as staff, and asks for each list some
times, one request after the other. The questions to PostgreSQL are counted in this process, which runs
the same code on the same data. In the end the books are verified.
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

from drills.private_shop import HOST, say, shop, wait_for

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from inventory.models import Product, Sale

MOST_QUERIES = 15
MOST_MS = 300

PRODUCTS = 20
IN_A_BATCH = 200
AUDIT_ROWS = 10_000
DRAFTS = 100

_PASSWORD = "only-for-this-drill"  # noqa: S105  # of a shop that is thrown away

# Ids as tickets make them, so that references lead back to them: the sale, then version 8.
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
    with shop() as (_, port):
        sale = sell(options.orders)
        staff = employ()
        say(f"{options.orders:,} orders; median of {options.requests} requests:")
        browser = log_in(f"http://{HOST}:{port}", staff.username)
        for name, path in lists(sale):
            took = ask(browser, f"http://{HOST}:{port}{path}", options.requests)
            say(line(name, queries(staff, path), took))
        from orders import reconciliation

        say("books: " + ("balanced" if reconciliation.verify().balanced else "they do not balance"))


# --- What is measured ---------------------------------------------------------------------------


def lists(sale: "Sale") -> Iterable[tuple[str, str]]:
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
    yield "orders by sku", f"{orders}?q={order.product and order.product.sku}"
    yield "movements", "/admin/inventory/stockmovement/"
    yield "movements by sku", "/admin/inventory/stockmovement/?q=admin-7"
    yield "audit", "/admin/orders/auditentry/"
    yield "audit by actor", "/admin/orders/auditentry/?q=anna"


def line(name: str, asked: int, took: list[float]) -> str:
    median = statistics.median(took) * 1000
    within = asked <= MOST_QUERIES and median <= MOST_MS
    slowest = max(took) * 1000
    return (
        f"  {name:20} {asked:2} queries {median:6.0f} ms (slowest {slowest:.0f} ms)"
        f"{'' if within else f'  MORE THAN {MOST_QUERIES} queries or {MOST_MS} ms'}"
    )


def ask(browser: OpenerDirector, address: str, requests: int) -> list[float]:
    """Seconds for each whole answer; the first one is not counted, for it may plan and cache."""
    return [timed(lambda: page(browser, address)) for _ in range(requests + 1)][1:]


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def queries(staff: "User", path: str) -> int:
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


def sell(orders: int) -> "Sale":
    """An open sale with so many orders, as settlement would have left them, and its audit."""
    from django.db import connection, transaction

    from inventory import stock
    from inventory.gate import replica
    from inventory.models import Sale
    from orders import lifecycle

    with transaction.atomic(), connection.cursor() as cursor:
        products = [make_product(number, orders) for number in range(PRODUCTS)]
        sale = make_draft("admin-lists", products)
        rows: dict[str, Any] = {
            "sale": sale.pk,
            "products": [product.pk for product in products],
            "many": PRODUCTS,
            "version": sale.version,
            "batch": IN_A_BATCH,
            "orders": orders,
        }
        cursor.execute(_ORDERS, rows)
        cursor.execute(_UNITS, [sale.pk])
        batches: dict[int, dict[int, int]] = {}
        for version, product, units in cursor.fetchall():
            batches.setdefault(version, {})[product] = units
        for version, units_of in batches.items():
            sold = {"sold": list(units_of), "units": list(units_of.values())}
            cursor.execute(
                f"WITH {stock.SELLING} SELECT", {"sale": sale.pk, "version": version, **sold}
            )
        Sale.objects.filter(pk=sale.pk).update(version=max(batches), confirmed=orders)
        audit(sale)
    for number in range(DRAFTS):
        make_draft(f"draft-{number}", [])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    lifecycle.schedule(sale.pk, by="bench")
    wait_for(lambda: replica.read_view(sale.pk).ready)
    sale.refresh_from_db()
    return sale


def make_product(number: int, units: int) -> "Product":
    from inventory import stock
    from inventory.models import Product, StockMovement

    sku = f"admin-{number}"
    product = Product.objects.create(sku=sku, name="Shoe", option=sku, price=100, currency="EUR")
    stock.move(product, units, StockMovement.Reason.RECEIVED, actor="bench")
    return product


def make_draft(name: str, products: "list[Product]") -> "Sale":
    from django.utils import timezone

    from inventory.models import Listing, Sale

    opens_at = timezone.now() - timedelta(minutes=1)
    closes_at = opens_at + timedelta(hours=1)
    sale = Sale.objects.create(slug=name, name=name, opens_at=opens_at, closes_at=closes_at)
    for product in products:
        Listing.objects.create(sale=sale, product=product)
    return sale


def audit(sale: "Sale") -> None:
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


def employ() -> "User":
    """Staff who may see all lists and do everything there: the controls are rendered as well."""
    from django.contrib.auth.models import Permission, User

    staff = User.objects.create_user("anna", password=_PASSWORD, is_staff=True)
    apps = ("inventory", "orders")
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label__in=apps))
    return staff


# --- The browser ----------------------------------------------------------------------------------


def log_in(site: str, name: str) -> OpenerDirector:
    """As a person would: the login page, then its form."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    login = f"{site}/admin/login/?next=/admin/"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page(browser, login))
    assert token
    form = {"username": name, "password": _PASSWORD, "csrfmiddlewaretoken": token[1]}
    sent = Request(login, urlencode(form).encode(), {"Referer": login})  # noqa: S310  # our own address
    with browser.open(sent) as answer:
        assert answer.url == f"{site}/admin/", answer.url
    return browser


def page(browser: OpenerDirector, address: str) -> str:
    with browser.open(address) as answer:
        return str(answer.read().decode())


if __name__ == "__main__":
    main()
