"""Show the ledger and the audit, read-only."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import ShowFacets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from dashboard.admin.base import ReadOnly, Tool
from flashsale.moments import format_moment
from inventory.models import StockMovement
from orders.audit_trail import describe_change, zone_of
from orders.models import AuditEntry
from orders.reference import purchase_range, reference


def audit_of(request: HttpRequest, **subject: Any) -> list[Tool]:
    """A link to the subject's audit entries, for users who may read them."""
    if not request.user.has_perm("orders.view_auditentry"):
        return []
    return [(f"{reverse('admin:orders_auditentry_changelist')}?{urlencode(subject)}", "Audit")]


def _link_to_order(order: UUID | None) -> str:
    if order is None:
        return ""
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:orders_order_change", args=[order]), reference(order)
    )


# --- The lists -----------------------------------------------------------------------------------


class DaysOfUtc(admin.DateFieldListFilter):
    """Rows of sales in several time zones have no other days in common."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = f"{self.title} (days of UTC)"


class HistoryAdmin(ReadOnly):
    """Lists by the key, newest first: an index has them in this order, and they are counted only once."""

    ordering = ["-id"]
    sortable_by = ()
    show_facets = ShowFacets.NEVER
    show_full_result_count = False


@admin.register(StockMovement)
class StockMovementAdmin(HistoryAdmin):
    list_display = [
        "when",
        "variant",
        "change",
        "balance",
        "reason",
        "note",
        "sale",
        "of_order",
        "actor",
    ]
    list_filter = ["reason", ("at", DaysOfUtc)]
    list_select_related = ["variant", "sale"]
    search_fields = ["variant__sku", "actor"]
    search_help_text = "Part of a sku or of the actor's name, or an order's reference or whole id."
    fields = [
        *("when", "variant", "change", "balance", "reason", "note", "actor"),
        *("sale", "sale_version", "of_order"),
    ]

    @admin.display(description="at")
    def when(self, movement: StockMovement) -> str:
        """In the time zone of its sale; in UTC if it belongs to none."""
        return format_moment(movement.at, movement.sale.time_zone if movement.sale else "UTC")

    @admin.display(description="change")
    def change(self, movement: StockMovement) -> str:
        return f"{movement.delta:+,}"

    @admin.display(description="order")
    def of_order(self, movement: StockMovement) -> str:
        return _link_to_order(movement.order)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[StockMovement]", search_term: str
    ) -> tuple["QuerySet[StockMovement]", bool]:
        orders = _orders_meant_by(search_term)
        if orders and (found := queryset.filter(order__range=orders)).exists():
            return found, False
        return super().get_search_results(request, queryset, search_term)


def _orders_meant_by(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that a reference or a whole id can mean; None for other texts."""
    try:
        return (one := UUID(text.strip())), one
    except ValueError:
        return purchase_range(text)


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    list_display = ["when", "subject", "action", "change", "actor", "reason"]
    list_filter = ["action", ("at", DaysOfUtc)]
    list_select_related = ["variant", "sale"]
    search_fields = ["subject", "actor"]
    search_help_text = "Part of a slug, a sku, an order's reference or the actor's name."
    fields = ["when", "actor", "action", "subject", "change", "reason", "of_order"]

    @admin.display(description="at")
    def when(self, entry: AuditEntry) -> str:
        return format_moment(entry.at, zone_of(entry))

    @admin.display(description="before → after")
    def change(self, entry: AuditEntry) -> str:
        return describe_change(entry)

    @admin.display(description="order")
    def of_order(self, entry: AuditEntry) -> str:
        return _link_to_order(entry.order)
