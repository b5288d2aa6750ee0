"""Show orders, read-only; a confirmed order can be cancelled."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters, ShowFacets
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from dashboard import controls
from dashboard.admin.base import ReadOnly, Tool
from dashboard.admin.history import audit_of
from dashboard.order_contact import contact_shown_to, parcel_of, payments_shown_to
from dashboard.order_export import Chosen, export_orders
from flashsale.moments import format_moment
from flashsale.templatetags.money import money
from inventory.models import Sale
from orders.models import Order
from orders.reference import purchase_range

_SALES_SHOWN = 15
_READER = "reader"


class SaleFilter(admin.SimpleListFilter):
    """Offers the latest sales; the page of an older sale links to its orders."""

    title = "sale"
    parameter_name = "sale"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        latest = Sale.objects.exclude(status=Sale.Status.DRAFT).order_by("-opens_at", "-id")
        return [(str(sale.pk), sale.name) for sale in latest[:_SALES_SHOWN]]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Order]") -> "QuerySet[Order]":
        if self.value() is None:
            return queryset
        try:
            return queryset.filter(sale=int(self.value() or ""))
        except ValueError as malformed:
            raise IncorrectLookupParameters from malformed


@admin.register(Order)
class OrderAdmin(ReadOnly):
    """Lists by sale and version, newest first: an index has this order, however many there are."""

    controls = controls.OF_ORDERS
    ordering = ["-sale_id", "-version", "-id"]
    sortable_by = ()
    list_display = [
        *("reference", "status", "why", "price", "bought", "quantity"),
        *("sale", "accepted"),
    ]
    list_filter = ["status", "reason", SaleFilter]
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    search_fields = ["sku"]
    search_help_text = "A reference, the whole id of an order or of a shopper, or part of a sku."
    fields = [
        *("reference", "id", "status", "why", "sale", "bought", "sku", "quantity", "unit"),
        *("price", "shopper", "accepted", "settled", "held", "version"),
        *("contact", "payment", "parcel"),
    ]

    @admin.display(description="reason")
    def why(self, order: Order) -> str:
        return order.get_reason_display() if order.reason else ""

    @admin.display(description="product")
    def bought(self, order: Order) -> str:
        """As it was called when it was bought."""
        return order.bought

    @admin.display(description="accepted")
    def accepted(self, order: Order) -> str:
        return format_moment(order.accepted_at, order.sale.time_zone)

    @admin.display(description="settled")
    def settled(self, order: Order) -> str:
        return format_moment(order.settled_at, order.sale.time_zone)

    @admin.display(description="held until")
    def held(self, order: Order) -> str:
        return format_moment(order.hold_until, order.sale.time_zone) if order.hold_until else ""

    @admin.display(description="unit price")
    def unit(self, order: Order) -> str:
        return money(order.unit_price, order.currency)

    @admin.display(description="total")
    def price(self, order: Order) -> str:
        return money(order.total, order.currency)

    # --- Beside the order: what the user may see of the shopper ---------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Order | None:
        """Remember with the order who looks at it: Django's display functions get nothing else."""
        order: Order | None = super().get_object(request, object_id, from_field)
        if order:
            vars(order)[_READER] = request.user
        return order

    @admin.display(description="contact")
    def contact(self, order: Order) -> str:
        return contact_shown_to(vars(order)[_READER], order)

    @admin.display(description="payments")
    def payment(self, order: Order) -> str:
        return payments_shown_to(vars(order)[_READER], order)

    @admin.display(description="shipped")
    def parcel(self, order: Order) -> str:
        return parcel_of(order)

    # --- Buttons and links ---------------------------------------------------------------------

    def described(self, subject: Order) -> str:
        bought = f"{subject.quantity} of {subject.bought or 'no product'}, {self.price(subject)}"
        return f"{subject.reference}: {bought}, {subject.get_status_display().lower()}"

    def tools(self, request: HttpRequest, subject: Order) -> list[Tool]:
        product = subject.variant_id and reverse(
            "admin:inventory_variant_change", args=[subject.variant_id]
        )
        links = [(product, "Variant")] if product else []
        return [
            *super().tools(request, subject),
            *links,
            *audit_of(request, order=subject.pk),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tools = [Chosen.by_filters(request.GET).tool()]
        return super().changelist_view(request, {"tools": tools, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        return [path("export/", export_orders, name=self._name("export")), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Order]":
        return super().get_queryset(request).select_related("sale")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Order]", search_term: str
    ) -> tuple["QuerySet[Order]", bool]:
        """Look ids and references up by index; Django's own search would compare the text of all rows."""
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            ids = purchase_range(search_term)
            if ids and (found := queryset.filter(pk__range=ids)).exists():
                return found, False
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(Q(pk=wanted) | Q(shopper=wanted)), False
