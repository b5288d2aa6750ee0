"""Staff's view of the orders. They are final answers: nothing is added, changed or deleted here."""

from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from flashsale.templatetags.money import money
from inventory.admin import ReadOnly
from orders.models import Order


@admin.register(Order)
class OrderAdmin(ReadOnly):
    list_display = ["id", "accepted_at", "sale", "product", "quantity", "price", "status", "reason"]
    list_filter = ["status", "reason", "sale"]
    list_select_related = ["sale", "product"]
    search_fields = ["product__sku"]
    search_help_text = "The whole id of a purchase or of a shopper, or a part of a sku."
    show_full_result_count = False

    @admin.display(description="total")
    def price(self, order: Order) -> str:
        return money(order.total, order.currency)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        """Whole ids are looked up by index; the admin itself would compare the text of every row."""
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(Q(pk=wanted) | Q(shopper=wanted)), False
