"""Show payments, refunds and providers' events, read-only; a failed refund can be tried again."""

from django.contrib import admin
from django.contrib.admin.options import ShowFacets
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from dashboard import controls
from dashboard.admin.base import ReadOnly, Tool
from flashsale.moments import format_moment
from flashsale.templatetags.money import money
from orders.models import Order
from orders.reference import purchase_range
from payments.models import Attempt, ProviderEvent, Refund


def _of_order(term: str, name: str) -> Q | None:
    """The condition that finds rows by the reference of their order, if the term is one."""
    ids = purchase_range(term)
    return Q(**{f"{name}__range": ids}) if ids else None


@admin.register(Attempt)
class AttemptAdmin(ReadOnly):
    """Attempts to pay. The provider's reference finds one there, and here."""

    list_display = [
        "order_reference",
        "state",
        "price",
        "provider",
        "reference",
        "begun",
        "problem",
    ]
    list_filter = ["state", "provider"]
    list_select_related = ["order__sale"]
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()
    search_fields = ["=reference"]
    search_help_text = "An order's reference, or the provider's reference of a payment."
    fields = [
        *("order_reference", "state", "price", "provider", "reference"),
        *("begun", "changed", "asked", "tries", "problem", "id"),
    ]

    @admin.display(description="order")
    def order_reference(self, attempt: Attempt) -> str:
        return attempt.order.reference

    @admin.display(description="amount")
    def price(self, attempt: Attempt) -> str:
        return money(attempt.amount, attempt.currency)

    @admin.display(description="begun")
    def begun(self, attempt: Attempt) -> str:
        return format_moment(attempt.created_at, attempt.order.sale.time_zone)

    @admin.display(description="in this state since")
    def changed(self, attempt: Attempt) -> str:
        return format_moment(attempt.changed_at, attempt.order.sale.time_zone)

    @admin.display(description="the provider is asked next")
    def asked(self, attempt: Attempt) -> str:
        return format_moment(attempt.due, attempt.order.sale.time_zone) if attempt.due else "never"

    def described(self, subject: Attempt) -> str:
        return f"{subject.order.reference}: {self.price(subject)}, {subject.get_state_display()}"

    def tools(self, request: HttpRequest, subject: Attempt) -> list[Tool]:
        links = [(reverse("admin:orders_order_change", args=[subject.order_id]), "Order")]
        if refund := Refund.objects.filter(attempt=subject).first():
            links.append((reverse("admin:payments_refund_change", args=[refund.pk]), "Refund"))
        return [*super().tools(request, subject), *links]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Attempt]", search_term: str
    ) -> tuple["QuerySet[Attempt]", bool]:
        if (of_order := _of_order(search_term, "order__id")) and (
            found := queryset.filter(of_order)
        ).exists():
            return found, False
        return super().get_search_results(request, queryset, search_term)


@admin.register(Refund)
class RefundAdmin(ReadOnly):
    """Refunds. A failed one says what the provider said."""

    controls = controls.OF_REFUNDS
    list_display = ["order_reference", "state", "price", "reason", "begun", "problem"]
    list_filter = ["state"]
    list_select_related = ["attempt__order__sale"]
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()
    search_fields = ["=attempt__reference"]
    search_help_text = "An order's reference, or the provider's reference of the payment."
    fields = [
        *("order_reference", "state", "price", "reason", "reference"),
        *("begun", "ended", "tries", "problem", "id"),
    ]

    @admin.display(description="order")
    def order_reference(self, refund: Refund) -> str:
        return self._order(refund).reference

    @admin.display(description="amount")
    def price(self, refund: Refund) -> str:
        return money(refund.amount, refund.attempt.currency)

    @admin.display(description="begun")
    def begun(self, refund: Refund) -> str:
        return format_moment(refund.created_at, self._order(refund).sale.time_zone)

    @admin.display(description="done")
    def ended(self, refund: Refund) -> str:
        zone = self._order(refund).sale.time_zone
        return format_moment(refund.done_at, zone) if refund.done_at else "not yet"

    def described(self, subject: Refund) -> str:
        return f"{self._order(subject).reference}: {self.price(subject)}, {subject.get_state_display()}"

    def tools(self, request: HttpRequest, subject: Refund) -> list[Tool]:
        links = [
            (reverse("admin:orders_order_change", args=[subject.attempt.order_id]), "Order"),
            (reverse("admin:payments_attempt_change", args=[subject.attempt_id]), "Payment"),
        ]
        return [*super().tools(request, subject), *links]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Refund]", search_term: str
    ) -> tuple["QuerySet[Refund]", bool]:
        if (of_order := _of_order(search_term, "attempt__order__id")) and (
            found := queryset.filter(of_order)
        ).exists():
            return found, False
        return super().get_search_results(request, queryset, search_term)

    @staticmethod
    def _order(refund: Refund) -> Order:
        return refund.attempt.order


@admin.register(ProviderEvent)
class ProviderEventAdmin(ReadOnly):
    """Genuine events of providers. What they say is not believed: the payment is asked about."""

    list_display = ["event_id", "kind", "provider", "reference", "received", "taken"]
    list_filter = ["provider"]
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()
    search_fields = ["=reference", "=event_id"]
    search_help_text = "The provider's reference of a payment, or the id of the event."
    fields = ["event_id", "kind", "provider", "reference", "received", "taken", "tries"]

    @admin.display(description="received")
    def received(self, event: ProviderEvent) -> str:
        return format_moment(event.received_at, "UTC")

    @admin.display(description="its payment was found", boolean=True)
    def taken(self, event: ProviderEvent) -> bool:
        return event.due is None
