"""Who and what appears in tests: a few shoppers and variants, everywhere the same."""

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, Protocol, TypeVar
from uuid import UUID

import httpx
import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from flashsale.http.shoppers import new_shopper
from flashsale.observe import telemetry
from flashsale.redis import blocking_clients, web_connections
from flashsale.redis.pipe import NotSent
from inventory import stock
from inventory.gate import admission
from inventory.gate.entries import Verdict
from inventory.gate.scripts import keys
from inventory.models import Sale, StockMovement, Variant
from inventory.products import Product
from inventory.shown import digest_of
from orders import caretaker, tickets
from orders.changes import change_sales
from orders.models import Order
from orders.tickets import new_purchase
from storefront import catalogue
from tests import deadlines

T = TypeVar("T")
Admit = Callable[..., Coroutine[Any, Any, Verdict]]


def stocked(sku: str, units: int, product: Product | None = None) -> Variant:
    """A variant with that many units, all in the ledger; of a product of its own unless there is one."""
    with transaction.atomic():
        product = product or Product.objects.create(name=sku.partition("-")[0].capitalize())
        variant = Variant.objects.create(
            product=product, sku=sku, option=sku, price=12900, currency="EUR"
        )
        if units:
            stock.move(variant, units, StockMovement.Reason.RECEIVED, actor="tests")
    return variant


def run_caretaker() -> None:
    """One round of each of the caretaker's threads, in this process."""
    caretaker.heal_all()
    caretaker.settle_waiting()
    caretaker.expire_holds()
    caretaker.serve_standby()
    caretaker.advance_draws()


def end_holds(sale: Sale, seconds: float = -60) -> None:
    """Let all holds of the sale end in so many seconds: a test does not wait for minutes."""
    with change_sales([sale.pk]) as (locked,), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_order DISABLE TRIGGER order_final")
        cursor.execute(
            "UPDATE orders_order SET version = %s,"
            " hold_until = date_trunc('milliseconds', now()) + %s * interval '1 second'"
            " WHERE sale_id = %s AND status = 'held'",
            [locked.version, seconds, sale.pk],
        )
        cursor.execute("ALTER TABLE orders_order ENABLE TRIGGER order_final")


def bring_draw_forward(sale: Sale, seconds: float = -1) -> None:
    """Let the draw of the sale be due in so many seconds: a test does not wait for its time."""
    with change_sales([sale.pk]), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE inventory_sale DISABLE TRIGGER sale_goes_forward")
        cursor.execute(
            "UPDATE inventory_sale SET draw_at = now() + %s * interval '1 second' WHERE id = %s",
            [seconds, sale.pk],
        )
        cursor.execute("ALTER TABLE inventory_sale ENABLE TRIGGER sale_goes_forward")


def put_off_holds(sales: list[int]) -> None:
    """Let no hold of these sales end in the middle of another test, which counts what is told and
    expires. Their gates are gone."""
    held = Order.objects.filter(sale__in=sales, status="held")
    if held.exists():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE orders_order DISABLE TRIGGER order_final")
            held.update(hold_until=timezone.now() + timedelta(days=1))
            cursor.execute("ALTER TABLE orders_order ENABLE TRIGGER order_final")


def owned_units(sale: Sale) -> int:
    """Units of the sale that are taken: with the stock they make what came in."""
    units: int = sale.orders.aggregate(units=Coalesce(Sum("owned"), 0))["units"]
    return units


def skus(sale: Sale) -> list[str]:
    return list(sale.listings.values_list("variant__sku", flat=True))


@cache
def shown_in(sale: int) -> bytes:
    """What a program's ticket for this sale is bound to, as its page showed it the first time. Read in a
    thread: the ORM refuses to work in a loop."""

    def read() -> bytes:
        try:
            card = catalogue.card(pk=sale)
        finally:
            connection.close()
        assert card
        return card.shown.sale

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(read).result(deadlines.seconds(10))


def ticket_of(sale: int, shopper: UUID) -> str:
    """A ticket as a program gets it with the sale, without asking for it."""
    return tickets.issue(sale, shopper, shown_in(sale))


JSON = {"Accept": "application/json"}
HTMX = {"HX-Request": "true"}
PAGE = {"Accept": "text/html"}


class HasUrl(Protocol):
    url: str


@dataclass
class Shopper:
    """A browser of its own: keeps its cookie, asks for pages, buys."""

    url: str
    client: httpx.Client = field(init=False)
    held: str = ""  # a ticket of a page that is open: buys with it instead of asking for one

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=deadlines.seconds(15), verify=False)  # noqa: S501  # no TLS here

    def sale(self, sale: Sale) -> dict[str, Any]:
        answer = self.client.get(f"/sales/{sale.slug}/", headers=JSON)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ticket(self, sale: Sale) -> str:
        return self.held or str(self.sale(sale)["ticket"])

    def buy(
        self,
        sale: Sale,
        ticket: str | None = None,
        headers: dict[str, str] | None = None,
        **fields: object,
    ) -> httpx.Response:
        """One click; for the first variant of the sale and one unit unless `fields` say otherwise."""
        form = {"ticket": self.ticket(sale) if ticket is None else ticket}
        form |= {name: str(value) for name, value in fields.items()}
        if "product" not in form:
            form["product"] = skus(sale)[0]
        return self.client.post(f"/sales/{sale.slug}/buy", data=form, headers=headers or JSON)

    def order(self, purchase: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.client.get(f"/orders/{purchase}/", headers=headers or JSON)


@contextlib.contextmanager
def shoppers_of(web: HasUrl) -> Iterator[Callable[..., Shopper]]:
    """Makes shoppers of the usual server process, or of another one; in the end they leave."""
    with contextlib.ExitStack() as leaving:

        def make(of: HasUrl = web) -> Shopper:
            shopper = Shopper(of.url)
            leaving.callback(shopper.client.close)
            return shopper

        yield make


def forms(html: str) -> list[dict[str, str]]:
    """The hidden fields of each form of a page."""
    found = []
    for form in re.findall(r"<form.*?</form>", html, re.S):
        found.append(dict(re.findall(r'name="(\w+)" value="([^"]*)"', form)))
    return found


def purchase_of(html: str) -> UUID:
    match = re.search(r'id="purchase-([0-9a-f-]{36})"', html)
    assert match
    return UUID(match[1])


def click(
    sale: Sale,
    purchase: UUID | None = None,
    shopper: UUID | None = None,
    sku: str = "",
    quantity: int = 1,
    address: str = "192.0.2.1",
    per_shopper: int = 0,
    per_address: int = 0,
    bound: int = 1000,
    shown: str = "",
    network: str = "",
    networks: tuple[str, ...] = (),
) -> Verdict:
    """One click at the gate, without the server in front of it."""
    variant = sku or skus(sale)[0]
    return in_loop(
        lambda: admission.admit(
            sale.pk,
            purchase or new_purchase(sale.pk),
            shopper or new_shopper(),
            variant,
            quantity,
            address,
            per_shopper=per_shopper,
            per_address=per_address,
            bound=bound,
            shown=shown,
            network=network,
            networks=networks,
        )
    )


def queue_up(
    sale: Sale, shoppers: int, *, sku: str = "", quantity: int = 1, admit: Admit = admission.admit
) -> list[UUID]:
    """So many new shoppers click at once, on what the variant is now. Gives the accepted purchases."""

    # Read where there is no loop: the ORM refuses to work in one.
    variant = sku or skus(sale)[0]
    shown = digest_of(Variant.objects.get(sku=variant)).hex()

    async def click(purchase: UUID) -> Verdict:
        try:
            return await admit(
                sale.pk,
                purchase,
                new_shopper(),
                variant,
                quantity,
                "192.0.2.1",
                per_shopper=0,
                per_address=0,
                bound=100_000,
                shown=shown,
            )
        except NotSent:  # a busy machine did not connect in time, and nothing has happened
            if time.monotonic() > patient_until:
                raise
            return await click(purchase)

    patient_until = time.monotonic() + deadlines.seconds(20)

    async def click_all() -> list[UUID]:
        purchases = [new_purchase(sale.pk) for _ in range(shoppers)]
        verdicts = await asyncio.gather(*(click(purchase) for purchase in purchases))
        return [p for p, v in zip(purchases, verdicts, strict=True) if v.code == "queued"]

    return in_loop(click_all)


def stray(sale: Sale, **fields: str) -> str:
    """An entry that `admit` has not written."""
    entry: dict[Any, Any] = {
        "purchase": new_purchase(sale.pk).hex,
        "shopper": new_shopper().hex,
        "sku": skus(sale)[0],
        "quantity": "1",
        **fields,
    }
    return str(blocking_clients.client_of(0).xadd(keys(sale.pk).line, entry))


def in_loop(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Runs `work` in a thread with a loop of its own, whose connections are closed after it."""

    async def work_and_close() -> T:
        try:
            return await work()
        finally:
            await web_connections.close_pipes()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work_and_close())).result(deadlines.seconds(60))


def rename(sale: Sale, to: str = "Something else") -> None:
    """Give all products of the sale this name: a trigger gives it to their variants."""
    Product.objects.filter(variants__sales=sale).update(name=to)


def hears_the_bell() -> bool:
    """Whether a worker has started altogether."""
    return any(client["cmd"] == "brpop" for client in blocking_clients.client_of(0).client_list())


@contextlib.contextmanager
def all_that_opening_needs() -> Iterator[None]:
    """What `/readyz` waits for, without a worker: one was just heard of, and gates are ready."""
    telemetry._write_sign_of_life(_WORKER, {})
    caretaker.heal_all()
    try:
        yield
    finally:
        blocking_clients.telemetry_client().hdel(telemetry.PROCESSES_KEY, _WORKER)


_WORKER = "worker:of-tests:1:0"


def promise_too_much(sale: Sale, units: int) -> None:
    """Has the gate believe in more stock than there is, as a stale copy of Redis would."""
    for sku in skus(sale):
        blocking_clients.client_of(0).hset(keys(sale.pk).stock, sku, units)


def at_once(*work: Callable[[], object]) -> list[object]:
    """Runs all of these in threads that start together. Gives what each returned or raised.

    They wait for a connection as long as a busy machine takes: there are more threads than connections.
    """
    start = threading.Barrier(len(work))

    def run(job: Callable[[], object]) -> object:
        start.wait(deadlines.seconds(10))
        try:
            return job()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as threads, pytest.MonkeyPatch.context() as patch:
        pool: Any = getattr(connection, "pool", None)  # unknown to the stubs
        patch.setattr(pool, "timeout", deadlines.seconds(60))
        return list(threads.map(run, work, timeout=deadlines.seconds(60)))
