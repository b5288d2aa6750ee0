"""`manage.py stock`: show the stock of products; add units, and correct miscounted ones."""

from argparse import ArgumentTypeError
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import redis

from flashsale.moments import format_moment
from inventory.gate import replica
from inventory.models import Product, Sale, StockMovement
from ops.base_command import FAILED, describe_failure
from ops.lifecycle_command import Facts, LifecycleCommand, find_product, whole_number
from orders import stock_changes
from orders.reference import reference

_MOVEMENTS_SHOWN = 10

Flight = Counter[str]


class Command(LifecycleCommand):
    help = "Shows stock and changes it. Units are added or taken away, never set."

    def add_commands(self) -> None:
        show = self.add_command(
            "show", self._show, "Stock and units in flight; of one product, also its ledger."
        )
        show.add_argument("sku", nargs="?")
        received = self.add_command("add", self._add, "Adds units that have come in.")
        received.add_argument("sku")
        received.add_argument("units", type=whole_number(1))
        self.add_change_arguments(received)
        correct = self.add_command(
            "correct",
            self._correct,
            "Adds or takes away units that were miscounted, broken or lost.",
        )
        correct.add_argument("sku")
        correct.add_argument("units", type=_parse_signed, help="such as +3 or -3")
        self.add_change_arguments(correct, needs_reason=True)

    def _show(self, *, sku: str | None, **_: Any) -> int:
        """Exit code 1 if Redis, and so the units in flight, cannot be read."""
        flight, problem = _read_in_flight()
        if sku is None:
            products = [_facts(product, flight) for product in Product.objects.all()]
            self.tell(products, self._table(products))
        else:
            self._show_one(find_product(sku), flight)
        if problem:
            self.note(problem)
        return FAILED if problem else 0

    def _show_one(self, product: Product, flight: Flight | None) -> None:
        movements = product.movements.select_related("sale")[:_MOVEMENTS_SHOWN]
        facts = {**_facts(product, flight), "movements": [_movement_facts(m) for m in movements]}
        rows = [
            (
                format_moment(moved.at, _zone(moved)),
                f"{moved.delta:+d}",
                moved.balance,
                moved.get_reason_display(),
                _source(moved),
                moved.note,
            )
            for moved in movements
        ]
        ledger = self.table(("WHEN", "UNITS", "STOCK", "WHAT", "WHOSE", "WHY"), rows)
        self.tell(facts, f"{self._table([facts])}\n\n{ledger}")

    def _table(self, products: list[Facts]) -> str:
        headings = ("SKU", "PRODUCT", "STOCK", "IN FLIGHT", "LEFT")
        return self.table(
            headings,
            [
                (
                    product["sku"],
                    f"{product['name']} {product['option']}".strip(),
                    *(product[what] for what in ("stock", "in_flight", "left")),
                )
                for product in products
            ],
        )

    def _add(self, *, sku: str, units: int, by: str, reason: str, **options: Any) -> int:
        product = find_product(sku)
        return self.change(
            f"Add {units} units to {_describe(product)}?",
            lambda: stock_changes.restock(product.pk, units, by=by, reason=reason),
            lambda: _describe_result(sku),
            **options,
        )

    def _correct(self, *, sku: str, units: int, by: str, reason: str, **options: Any) -> int:
        product = find_product(sku)
        return self.change(
            f"Correct {_describe(product)} by {units:+d} units, because: {reason}?",
            lambda: stock_changes.correct(product.pk, units, by=by, reason=reason),
            lambda: _describe_result(sku),
            **options,
        )


def _parse_signed(text: str) -> int:
    try:
        units = int(text)
    except ValueError:
        units = 0
    if not units:
        raise ArgumentTypeError(f"{text!r} is no number of units such as +3 or -3")
    return units


def _describe(product: Product) -> str:
    return f"{product.sku} ({product}, {product.stock} in stock)"


def _describe_result(sku: str) -> tuple[Facts, str]:
    product = find_product(sku)
    return {"sku": sku, "stock": product.stock}, f"{sku}: {product.stock} in stock"


def _read_in_flight() -> tuple[Flight | None, str]:
    """Units of accepted, undecided purchases in all sales, by sku; None and the reason if Redis is away."""
    with_gate = Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
    flight = Flight()
    try:
        for sale in with_gate:
            flight.update(replica.read_view(sale.pk).in_flight)
    except redis.RedisError as error:
        return None, describe_failure(error)
    return flight, ""


def _facts(product: Product, flight: Flight | None) -> Facts:
    in_flight = None if flight is None else flight[product.sku]
    return {
        "sku": product.sku,
        "name": product.name,
        "option": product.option,
        "stock": product.stock,
        "in_flight": in_flight,
        "left": None if in_flight is None else max(0, product.stock - in_flight),
    }


def _movement_facts(moved: StockMovement) -> Facts:
    return {
        "at": moved.at.astimezone(ZoneInfo(_zone(moved))),
        "delta": moved.delta,
        "balance": moved.balance,
        "reason": moved.reason,
        "by": moved.actor,
        "note": moved.note,
        "sale": moved.sale.slug if moved.sale else None,
        "order": moved.order,
    }


def _zone(moved: StockMovement) -> str:
    """The time zone of its sale; UTC if it belongs to none."""
    return moved.sale.time_zone if moved.sale else "UTC"


def _source(moved: StockMovement) -> str:
    """The sale of a settled batch, the order of a cancellation, else the actor."""
    if moved.order:
        return f"{reference(moved.order)} {moved.actor}"
    return moved.actor or (moved.sale.slug if moved.sale else "")
