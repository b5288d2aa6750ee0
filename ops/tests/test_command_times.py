"""Commands print the times of a sale in its own time zone, and name it."""

import csv
import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, settlement
from orders.models import Order
from tests.cast import queue_up, stocked
from tests.operators import here, typed

# A part of what their clocks are called.
ZONES = {"Asia/Kathmandu": "UTC+5:45", "America/St_Johns": "N", "Pacific/Apia": "UTC+13"}


@pytest.fixture(params=ZONES)
def order(request: pytest.FixtureRequest, make_sale: MakeSale) -> Order:
    """An order of a sale in one of these zones, which was cancelled."""
    sale = make_sale()
    Sale.objects.filter(pk=sale.pk).update(time_zone=request.param)
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    found = Order.objects.get(sale=sale)  # with the sale as it is now
    cancellation.cancel_order(found.pk, by="anna")
    return found


def test_an_order_is_shown_in_the_zone_of_its_sale(order: Order) -> None:
    zone = ZoneInfo(order.sale.time_zone)
    accepted = order.accepted_at.astimezone(zone)
    shown = here("order", "show", order.reference)
    assert f"accepted at  {accepted}" in shown.out
    assert f"time zone    {zone.key}" in shown.out
    assert f"{accepted:%z}"[:3] in shown.out.partition("audit")[2]
    [told] = here("order", "show", order.reference, "--json").told["orders"]
    assert told["accepted_at"] == accepted.isoformat()


def test_an_order_is_exported_in_the_zone_of_its_sale(order: Order) -> None:
    ran = here("orders_export", "--sale", order.sale.slug)
    [row] = csv.DictReader(io.StringIO(ran.out))
    zone = ZoneInfo(order.sale.time_zone)
    for moment in ("accepted_at", "settled_at"):
        local = getattr(order, moment).astimezone(zone)
        assert row[moment] == local.isoformat(timespec="milliseconds")
    assert row["time_zone"] == zone.key


def test_a_sale_and_its_audit_are_shown_in_its_zone(order: Order) -> None:
    sale, zone = order.sale, ZoneInfo(order.sale.time_zone)
    told = here("sale", "show", sale.slug, "--json").told
    opens = sale.opens_at.astimezone(zone)
    assert (told["opens_at"], told["time_zone"]) == (opens.isoformat(), zone.key)
    offsets = {datetime.fromisoformat(entry["at"]).utcoffset() for entry in told["audit"]}
    assert offsets == {opens.utcoffset()}


def test_a_ledger_says_the_zone_of_each_line(order: Order) -> None:
    assert order.variant
    sold, received = here("stock", "show", order.variant.sku).out.splitlines()[-2:]
    assert ZONES[order.sale.time_zone] in sold
    assert " UTC " in received  # units came in for no sale


def test_a_watched_sale_is_timed_in_its_zone(order: Order) -> None:
    ran = typed("sale_watch", order.sale.slug, "--seconds", "1")
    assert ZONES[order.sale.time_zone] in ran.out.partition(order.sale.slug)[0]


@pytest.mark.parametrize(
    ("time", "zone", "opens_at"),
    [
        ("2034-12-01T18:00", "Asia/Kathmandu", datetime(2034, 12, 1, 12, 15, tzinfo=UTC)),
        ("2034-12-01T18:00+01:00", "Asia/Kathmandu", datetime(2034, 12, 1, 17, tzinfo=UTC)),
        ("2034-10-29T02:30+02:00", "Europe/Berlin", datetime(2034, 10, 29, 0, 30, tzinfo=UTC)),
        ("2034-10-29T02:30+01:00", "Europe/Berlin", datetime(2034, 10, 29, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_the_zone_of_the_sale_or_with_its_offset(
    time: str, zone: str, opens_at: datetime
) -> None:
    slug = f"read-{Sale.objects.count()}"
    words = ("--name", "Drop", "--opens", time, "--closes", "2035-01-01T00:00", "--zone", zone)
    ran = here("sale", "create", slug, *words, "--product", stocked(slug, 1).sku, "--no-input")
    assert ran.code == 0, ran.err
    assert Sale.objects.get(slug=slug).opens_at == opens_at
    assert zone in ran.out
