"""A shopper's name and address are where they belong, and nowhere else, whatever is done with them."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.conf import settings
from django.db import connection

from accounts import contacts
from conftest import MakeSale
from dashboard.tests.staff import employ, session_of
from flashsale.redis import blocking_clients
from inventory.models import Sale
from orders import sale_lifecycle
from orders.models import Order, Shipment
from tests import deadlines, stack
from tests.cast import PAGE, Shopper, forms, run_caretaker
from tests.listening import listening
from tests.operators import spawned

DEBUG = {"LOG_LEVEL": "DEBUG", "LOG_PURCHASES": "1", "METRICS_TOKEN": "a-token-of-metrics"}
ZDENKA = {
    "email": "Zdenka.Tajemna@posta.example",
    "name": "Zdenka Tajemná",
    "company": "Tajemná a dcery",
    "country": "CZ",
    "street": "Skrytá ulička 4711",
    "city": "Tajov",
    "postcode": "110 00",
    "phone": "+420601987654",
}
# In any spelling, so that no accent, case or escape hides them.
TRACES = re.compile(
    r"zdenka|tajemn|posta\.example|skryt(á|\\u00e1|%C3%A1)|tajov|601\W*987\W*654|JJD0099887766",
    re.I,
)
NUMBER = "JJD0099887766"
LINK = f"https://carrier.example/{NUMBER}?zip=11000"
STAFF = (
    *("inventory.watch_sales", "orders.view_order", "orders.add_shipment"),
    *("accounts.view_contact", "payments.view_attempt", "orders.view_auditentry"),
)
# Tables that may hold them: the contact itself, and what finds the parcel.
HOMES = {"accounts_contact", "orders_shipment"}


@dataclass
class Leaking(stack.Web):
    """A server process with faults of ours."""

    def start(self) -> stack.Process:
        self.command[2] = "tests.security.leaking"
        return super().start()


@dataclass
class Flow:
    """A shopper and staff, with all addresses that they were sent to."""

    web: stack.Web
    sale: Sale
    shopper: Shopper
    addresses: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def noted(self, answer: httpx.Response) -> httpx.Response:
        self.addresses += [str(answer.request.url), answer.headers.get("location", "")]
        self.statuses.append(answer.status_code)
        return answer

    def buy(self) -> UUID:
        purchase = UUID(self.shopper.buy(self.sale).json()["purchase"])
        held = Order.objects.filter(pk=purchase, status="held")
        stack.wait_for(held.exists, "the order is held")
        return purchase

    def check_out(self, purchase: UUID) -> httpx.Response:
        address = f"/orders/{purchase}/checkout/"
        page = self.noted(self.shopper.client.get(address, headers=PAGE))
        [form] = [form for form in forms(page.text) if "csrfmiddlewaretoken" in form]
        sent = {**{k: unescape(v) for k, v in form.items()}, **ZDENKA}
        headers = {**PAGE, "Origin": self.web.url}
        # First as the page without scripts asks for another country's fields, then with a mistake.
        self.noted(self.shopper.client.post(address, data=sent, headers=headers))
        sent.pop("change")
        self.noted(self.shopper.client.post(address, data={**sent, "name": ""}, headers=headers))
        return self.noted(self.shopper.client.post(address, data=sent, headers=headers))

    def staff(self) -> Iterator[httpx.Client]:
        cookie = f"{session_of(employ(STAFF))}; csrftoken={'a' * 32}"
        headers = {"Cookie": cookie, "Origin": self.web.url}
        with httpx.Client(
            base_url=self.web.url, headers=headers, timeout=deadlines.seconds(30)
        ) as c:
            yield c


def open_sale(make_sale: MakeSale) -> Sale:
    sale = make_sale(live=False, hold=30, limit=3)
    Sale.objects.filter(pk=sale.pk).update(ask="address")
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    return Sale.objects.get(pk=sale.pk)


def serve(flow: Flow, purchase: UUID) -> None:
    """All that staff do with an order."""
    token = {"csrfmiddlewaretoken": "a" * 32}
    page = f"/dashboard/sales/{flow.sale.pk}/fulfilment"
    for staff in flow.staff():
        looked = flow.noted(staff.get(f"/admin/orders/order/{purchase}/change/"))
        assert ZDENKA["name"] in looked.text
        flow.noted(staff.get(f"{page}/"))
        export = flow.noted(staff.post(f"{page}/export/", data={**token, "which": "to-ship"}))
        [row] = csv.DictReader(io.StringIO(export.text.removeprefix("\ufeff")))
        assert row["name"] == ZDENKA["name"]
        listed = f"order,number,link\n{purchase},{NUMBER},{LINK}\n"
        files = {"file": ("parcels.csv", listed.encode())}
        preview = flow.noted(staff.post(f"{page}/parcels/", data=token, files=files))
        key = re.search(r'name="key" value="([^"]+)"', preview.text)
        assert key
        sent = {**token, "text": listed, "key": key[1]}
        flow.noted(staff.post(f"{page}/parcels/", data=sent))
        flow.noted(staff.get("/admin/orders/auditentry/"))
        flow.noted(staff.get("/dashboard/"))
    assert Shipment.objects.get(pk=purchase).tracking_number == NUMBER


def traces(text: str) -> list[str]:
    return [text[max(0, m.start() - 60) : m.end() + 20] for m in TRACES.finditer(text)]


def rows_of_postgresql() -> dict[str, str]:
    """All rows of all tables, as text."""
    with connection.cursor() as cursor:
        found = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')  # noqa: S608  # names of tables
            found[table] = "\n".join(row for (row,) in cursor.fetchall())
    return found


def all_of_redis() -> str:
    """All keys and values of the server, in all databases."""
    client: Any = blocking_clients.client_of(0)
    read = {
        b"string": lambda key: client.get(key),
        b"hash": lambda key: client.hgetall(key),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": lambda key: client.smembers(key),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda key: client.xrange(key),
    }
    kinds: dict[str, Any] = {kind.decode(): reads for kind, reads in read.items()}
    texts = []
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        kind = kind.decode() if isinstance(kind, bytes) else kind
        if kind != "none":  # it ended meanwhile
            texts.append(f"{key!r}: {kinds[kind](key)!r}")
    return "\n".join(texts)


def test_nothing_of_a_person_is_elsewhere_after_all_that_is_done_with_an_order(
    capfd: pytest.CaptureFixture[str], make_sale: MakeSale
) -> None:
    with stack.Web.running(**DEBUG) as web, stack.worker(**DEBUG):
        shopper = Shopper(web.url)
        flow = Flow(web, open_sale(make_sale), shopper)
        with shopper.client:
            purchase = flow.buy()
            assert flow.check_out(purchase).headers["location"] == f"/orders/{purchase}/"
            serve(flow, purchase)
            flow.noted(shopper.client.get(f"/orders/{purchase}/", headers=PAGE))
            flow.noted(shopper.client.get("/orders/", headers=PAGE))
        asking = {"Authorization": f"Bearer {DEBUG['METRICS_TOKEN']}"}
        metrics = httpx.get(f"{web.url}/metrics", headers=asking, timeout=deadlines.seconds(20))
        assert metrics.status_code == 200
        redis = all_of_redis()
    told = spawned("order", "data", str(purchase), "--by", "anna")
    assert traces(told.out)  # so that the search finds them where they are
    assert told.told["orders"][0]["contact"]["name"] == ZDENKA["name"]

    rows = rows_of_postgresql()
    assert {table for table, text in rows.items() if TRACES.search(text)} <= HOMES
    assert traces(rows["accounts_contact"]) or settings.CONTACT_KEYS
    for audited in ("looked", "exported", "shipped"):
        assert audited in rows["orders_auditentry"]
    assert "shipped" in rows["orders_outboxrow"]
    assert purchase.hex in redis
    assert traces(redis) == []
    assert traces(metrics.text) == []
    assert traces("\n".join(flow.addresses)) == []
    written = "".join(capfd.readouterr())
    assert "DEBUG" in written
    assert str(purchase) in written
    assert traces(written) == []
    assert 500 not in flow.statuses
    assert traces(told.err) == []

    erased = spawned("order", "erase", str(purchase), "--no-input", "--by", "anna")
    assert erased.code == 0, erased.err
    assert traces(erased.out + erased.err) == []
    assert [table for table, text in rows_of_postgresql().items() if TRACES.search(text)] == []


def test_a_fault_with_a_contact_tells_nothing_of_it(
    capfd: pytest.CaptureFixture[str], make_sale: MakeSale
) -> None:
    received: list[str] = []
    with (
        listening(lambda body: received.append(body.decode())) as port,
        Leaking.running(**DEBUG, SENTRY_DSN=f"http://key@127.0.0.1:{port}/1") as web,
        stack.worker(**DEBUG),
    ):
        shopper = Shopper(web.url)
        flow = Flow(web, open_sale(make_sale), shopper)
        with shopper.client:
            purchase = flow.buy()
            assert flow.check_out(purchase).status_code == 500
            for staff in flow.staff():
                assert staff.get(f"/admin/orders/order/{purchase}/change/").status_code == 500
        stack.wait_for(
            lambda: sum("a fault of ours" in text for text in received) >= 2, "both are received"
        )
    assert contacts.read(purchase)
    assert traces("\n".join(received)) == []
    written = "".join(capfd.readouterr())
    assert "a fault of ours" in written
    assert traces(written) == []
