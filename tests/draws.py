"""Sales with a draw, and their entries."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from conftest import MakeSale
from inventory.models import Sale
from orders import networks, settlement
from orders.models import Order
from orders.tickets import new_purchase
from tests.cast import click


def make_draw(make_sale: MakeSale, draw_in: float = 1800, **rules: Any) -> Sale:
    """A public sale, open for a minute, whose draw is so many seconds ahead."""
    return make_sale(**{"draw_in": draw_in, "opens_in": -600, **rules})


def enter(sale: Sale, addresses: Iterable[str], **clicked: Any) -> list[UUID]:
    """A new shopper enters from each of these addresses. Give the entries, which are settled."""
    entries = []
    for address in addresses:
        purchase = new_purchase(sale.pk)
        network = networks.network_of(sale.pk, address) if sale.hold_minutes else ""
        assert click(sale, purchase, network=network, **clicked).code == "queued"
        entries.append(purchase)
    settlement.settle(sale.pk)
    waiting = Order.objects.filter(pk__in=entries, status=Order.Status.WAITING)
    assert waiting.count() == len(entries)
    return entries


def change_past_rules(table: str, statement: str, *values: Any) -> None:
    """As somebody could who owns the tables: without their triggers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(statement, values)
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
