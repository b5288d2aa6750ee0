"""Read one sale for `manage.py sale show`: PostgreSQL and the gate, its replica in Redis, side by side.

Not by the dashboard's `Observer`: it reads PostgreSQL first, so that of 200 looks at a busy sale 25 showed
a gate ahead of PostgreSQL (here: none), it takes 86 ms instead of 32 for its telemetry and processes, and
it has neither the orders by variant nor the sale's own audit.
"""

from collections import Counter
from dataclasses import dataclass

import redis
from django.db.models import Sum

from inventory.gate import replica
from inventory.gate.state import View
from inventory.models import Sale
from ops.base_command import describe_failure
from ops.lifecycle_command import Facts, audit_facts, sale_facts
from orders.late_draws import read_draws
from orders.models import AuditEntry, Draw, Order
from orders.open_holds import OpenHolds, read_open_holds

_AUDIT_SHOWN = 5


@dataclass(frozen=True)
class Overview:
    sale: Sale
    view: View | None  # None if it has no gate, or Redis cannot be read
    waited: int  # ms for which the head of the line has waited
    problem: str  # why Redis cannot be read; empty if it can
    variants: list[Facts]
    poison: int  # orders that were rejected because they could not be processed
    open_holds: OpenHolds | None  # None of a sale without a hold
    draw: Draw | None  # None of a sale by arrival, and of a draft
    audit: list[AuditEntry]

    def as_json(self) -> Facts:
        return {
            **sale_facts(self.sale),
            "products": self.variants,
            "gate": self._gate(),
            "poison": self.poison,
            **self._open_holds(),
            "audit": audit_facts(self.audit),
        }

    def _open_holds(self) -> Facts:
        if self.open_holds is None:
            return {}
        return {
            "open_holds": {
                "most_of_a_shopper": self.open_holds.of_shopper,
                "most_of_an_address": self.open_holds.of_network,
                "addresses_with_more_than_few": self.open_holds.crowded,
                "few": self.open_holds.few,
                "units_there": self.open_holds.kept,
                "addresses": [
                    {
                        "label": network.label,
                        "holds": network.holds,
                        "units": network.units,
                        "expired": network.expired,
                    }
                    for network in self.open_holds.top
                ],
            }
        }

    def _gate(self) -> Facts | None:
        if self.view is None:
            return {"error": self.problem} if self.problem else None
        return {
            "ready": self.view.ready,
            "version": self.view.version,
            "line": self.view.in_line,
            "oldest_ms": self.waited,
        }


def read_overview(sale: Sale) -> Overview:
    """Read PostgreSQL after the gate: its version only grows, so no gate seems to be ahead of it."""
    view, waited, problem = _read_gate(sale)
    sale.refresh_from_db()
    return Overview(
        sale=sale,
        view=view,
        waited=waited,
        problem=problem,
        variants=_list_variants(sale, view),
        poison=sale.orders.filter(reason=Order.Reason.ERROR).count(),
        open_holds=read_open_holds([sale]).get(sale.pk),
        draw=read_draws([sale]).get(sale.pk),
        audit=list(
            AuditEntry.objects.filter(sale=sale).select_related("sale", "variant")[:_AUDIT_SHOWN]
        ),
    )


def _read_gate(sale: Sale) -> tuple[View | None, int, str]:
    if sale.finished or sale.status == Sale.Status.DRAFT:
        return None, 0, ""
    try:
        return replica.read_view(sale.pk), replica.read_pulse(sale.pk).waited, ""
    except redis.RedisError as error:
        return None, 0, describe_failure(error)


def _list_variants(sale: Sale, view: View | None) -> list[Facts]:
    owning = sale.orders.filter(owned__gt=0).order_by()
    units = Counter(
        {
            (variant, status): owned
            for variant, status, owned in owning.values_list("variant", "status").annotate(
                Sum("owned")
            )
        }
    )
    listings = sale.listings.select_related("variant").order_by("position", "id")
    return [
        {
            "sku": variant.sku,
            "name": variant.name,
            "option": variant.option,
            "price": variant.price,
            "currency": variant.currency,
            "stock": variant.stock,
            "in_flight": view.in_flight.get(variant.sku, 0) if view else None,
            "left": view.left(variant.sku) if view else None,
            "waiting": sale.waiting.get(variant.sku, 0),
            "held": units[variant.pk, Order.Status.HELD],
            "confirmed": units[variant.pk, Order.Status.CONFIRMED],
        }
        for variant in (listing.variant for listing in listings)
    ]
