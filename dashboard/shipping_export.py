"""The file for shipping: names, addresses and what goes into each parcel, as CSV.

It is read batch by batch, each in a thread that returns its connection: a slow download holds none.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterable
from uuid import UUID

from django.db.models import Q

from accounts import contacts
from accounts.contacts import Details
from dashboard.to_ship import orders_to_ship
from flashsale.database import in_thread
from flashsale.money import as_decimal
from inventory.models import Sale
from orders.export import BYTE_ORDER_MARK, Row, as_csv, harmless
from orders.models import Order, Shipment
from payments.models import Attempt

BATCH = 100  # orders
IDLE, MOST_IDLE = 3, 0.05  # times as long as a batch took, at most so many seconds

COLUMNS = (
    *("reference", "order", "name", "company", "street", "street_2", "district", "city", "region"),
    *("postcode", "sorting_code", "country", "email", "phone"),
    *("sku", "product", "option", "quantity", "unit_price", "total", "currency"),
    *("payment_provider", "payment_reference"),
    *("carrier", "tracking_number", "tracking_url"),
)
_PAID = (Attempt.State.CAPTURED, Attempt.State.REFUND_PENDING, Attempt.State.REFUNDED)
_NO_CONTACT = Details()
_E164 = re.compile(r"\+[0-9][0-9 ]*\Z")


async def start_export(sale: Sale, *, shipped_too: bool) -> AsyncGenerator[bytes, None]:
    """Read the first batch, so that its fault is an answer. Returns the file in chunks, with a BOM.
    Raises DatabaseError, TimeoutError and contacts.Unreadable, as the chunks do."""
    chunks = _read(sale, shipped_too)
    await anext(chunks)
    return chunks


async def _read(sale: Sale, shipped_too: bool) -> AsyncGenerator[bytes, None]:
    """The chunks, after an empty one: the first batch is read."""
    last, rows = await in_thread(_next_rows, sale, shipped_too, None)
    yield b""
    yield f"{BYTE_ORDER_MARK}{as_csv([COLUMNS])}".encode()
    while rows:
        yield as_csv(rows).encode()
        began = time.perf_counter()
        last, rows = await in_thread(_next_rows, sale, shipped_too, last)
        await asyncio.sleep(min(IDLE * (time.perf_counter() - began), MOST_IDLE))


def _next_rows(
    sale: Sale, shipped_too: bool, after: Order | None
) -> tuple[Order | None, list[Row]]:
    """The next rows, and the order of the last of them."""
    orders = _next_orders(sale, shipped_too, after)
    return (orders[-1] if orders else None), _rows(orders)


def _next_orders(sale: Sale, shipped_too: bool, last: Order | None) -> list[Order]:
    """The next orders after `last`, in the order of their acceptance."""
    orders = orders_to_ship(sale)
    if shipped_too:
        confirmed = Order.objects.filter(sale=sale, status=Order.Status.CONFIRMED)
        orders = confirmed.order_by("accepted_at", "id")
    if last:
        later = Q(accepted_at__gt=last.accepted_at)
        orders = orders.filter(later | Q(accepted_at=last.accepted_at, id__gt=last.pk))
    return list(orders[:BATCH])


def _rows(orders: Iterable[Order]) -> list[Row]:
    ids = [order.pk for order in orders]
    details = contacts.read_many(ids)
    paid = {each.order_id: each for each in Attempt.objects.filter(order__in=ids, state__in=_PAID)}
    parcels = Shipment.objects.in_bulk(ids)
    return [_row(order, details, paid, parcels) for order in orders]


def _row(
    order: Order,
    details: dict[UUID, Details],
    paid: dict[UUID, Attempt],
    parcels: dict[UUID, Shipment],
) -> Row:
    """One order, in the order of COLUMNS."""
    attempt, parcel = paid.get(order.pk), parcels.get(order.pk)
    return (
        order.reference,
        str(order.pk),
        *_address(details.get(order.pk, _NO_CONTACT)),
        *harmless((order.sku, order.product_name, order.option)),
        order.quantity,
        str(as_decimal(order.unit_price, order.currency)),
        str(as_decimal(order.total, order.currency)),
        order.currency,
        *harmless((attempt.provider, attempt.reference) if attempt else ("", "")),
        *harmless(
            (parcel.carrier, parcel.tracking_number, parcel.tracking_url)
            if parcel
            else ("", "", "")
        ),
    )


def _address(details: Details) -> tuple[str, ...]:
    """Further lines of the street are one cell: a line break in a cell is lost in some programs."""
    street, _, more = details.street.partition("\n")
    cells = (
        details.name,
        details.company,
        street.strip(),
        ", ".join(filter(None, map(str.strip, more.splitlines()))),
        *(details.district, details.city, details.region, details.postcode),
        *(details.sorting_code, details.country, details.email),
    )
    return *harmless(cells), _phone(details.phone)


def _phone(number: str) -> str:
    """A number in E.164 stays as it is: carriers' imports refuse an apostrophe. A spreadsheet at most reads
    it as a number, without the plus; digits alone are no code."""
    return number if _E164.match(number) else harmless([number])[0]
