"""What a sale has to ship: figures, the pick list, and the orders whose parcels have not left."""

from typing import NamedTuple, TypedDict

from django.core.paginator import Page, Paginator
from django.db.models import Count, Q, QuerySet, Sum

from inventory.models import Sale
from orders.models import Order

ORDERS_PER_PAGE = 50


class Picked(TypedDict):
    """A line of the pick list, named as when it was sold."""

    sku: str
    product_name: str
    option: str
    orders: int
    units: int


class Figures(NamedTuple):
    """Orders of a sale."""

    confirmed: int
    to_ship: int
    shipped: int


def orders_to_ship(sale: Sale) -> "QuerySet[Order]":
    """Confirmed and not shipped, in the order of their acceptance."""
    confirmed = Order.objects.filter(sale=sale, status=Order.Status.CONFIRMED)
    return confirmed.filter(shipment=None).order_by("accepted_at", "id")


def count_orders(sale: Sale) -> Figures:
    confirmed = Order.objects.filter(sale=sale, status=Order.Status.CONFIRMED)
    counted = confirmed.aggregate(
        confirmed=Count("pk"), to_ship=Count("pk", filter=Q(shipment=None))
    )
    return Figures(
        counted["confirmed"], counted["to_ship"], counted["confirmed"] - counted["to_ship"]
    )


def list_picks(sale: Sale) -> "QuerySet[Order, Picked]":
    """The units to fetch from the shelves, by variant."""
    to_ship = orders_to_ship(sale).order_by("product_name", "sku", "option")
    named = to_ship.values("sku", "product_name", "option")
    return named.annotate(orders=Count("pk"), units=Sum("quantity"))


def page_of_orders(sale: Sale, number: str | None) -> Page[Order]:
    return Paginator(orders_to_ship(sale), ORDERS_PER_PAGE).get_page(number)
