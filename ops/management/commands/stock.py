"""`manage.py stock`: show the stock of variants; add units, and correct miscounted ones."""

from argparse import ArgumentTypeError
from collections import Counter
from typing import Any

import redis

from flashsale.characters import isolate, join_isolated
from flashsale.moments import find_zone, format_moment
from inventory.gate import replica
from inventory.models import Sale, StockMovement, Variant
from ops.base_command import FAILED, describe_failure
from ops.lifecycle_command import Facts, LifecycleCommand, find_variant, whole_number
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
            variants = [_facts(variant, flight) for variant in Variant.objects.all()]
            self.tell(variants, self._table(variants))
        else:
            self._show_one(find_variant(sku), flight)
        if problem:
            self.note(problem)
        return FAILED if problem else 0

    def _show_one(self, variant: Variant, flight: Flight | None) -> None:
        movements = variant.movements.select_related("sale")[:_MOVEMENTS_SHOWN]
        facts = {**_facts(variant, flight), "movements": [_movement_facts(m) for m in movements]}
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

    def _table(self, variants: list[Facts]) -> str:
        headings = ("SKU", "PRODUCT", "STOCK", "IN FLIGHT", "LEFT")
        return self.table(
            headings,
            [
                (
                    variant["sku"],
                    join_isolated(variant["name"], variant["option"]),
                    *(variant[what] for what in ("stock", "in_flight", "left")),
                )
                for variant in variants
            ],
        )

    def _add(self, *, sku: str, units: int, by: str, reason: str, **options: Any) -> int:
        variant = find_variant(sku)
        return self.change(
            f"Add {units} units to {_describe(variant)}?",
            lambda: stock_changes.restock(variant.pk, units, by=by, reason=reason),
            lambda: _describe_result(variant.sku),
            **options,
        )

    def _correct(self, *, sku: str, units: int, by: str, reason: str, **options: Any) -> int:
        variant = find_variant(sku)
        return self.change(
            f"Correct {_describe(variant)} by {units:+d} units, because: {isolate(reason)}?",
            lambda: stock_changes.correct(variant.pk, units, by=by, reason=reason),
            lambda: _describe_result(variant.sku),
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


def _describe(variant: Variant) -> str:
    return f"{variant.sku} ({variant}, {variant.stock} in stock)"


def _describe_result(sku: str) -> tuple[Facts, str]:
    variant = find_variant(sku)
    return {"sku": sku, "stock": variant.stock}, f"{sku}: {variant.stock} in stock"


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


def _facts(variant: Variant, flight: Flight | None) -> Facts:
    in_flight = None if flight is None else flight[variant.sku]
    return {
        "sku": variant.sku,
        "name": variant.name,
        "option": variant.option,
        "stock": variant.stock,
        "in_flight": in_flight,
        "left": None if in_flight is None else max(0, variant.stock - in_flight),
    }


def _movement_facts(moved: StockMovement) -> Facts:
    return {
        "at": moved.at.astimezone(find_zone(_zone(moved))),
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
