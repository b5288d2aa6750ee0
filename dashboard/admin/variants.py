"""Show variants, read-only: their product's page edits them. Their stock changes by controls, too."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from dashboard import controls
from dashboard.admin.base import ReadOnly, Tool
from dashboard.admin.history import audit_of
from flashsale.templatetags.money import money
from inventory.models import Variant


@admin.register(Variant)
class VariantAdmin(ReadOnly):
    controls = controls.OF_VARIANTS
    list_display = ["sku", "name", "option", "shown_price", "stock"]
    search_fields = ["sku", "name"]
    fields = ["sku", "product", "option", "shown_price", "stock"]

    @admin.display(description="price", ordering="price")
    def shown_price(self, variant: Variant) -> str:
        return money(variant.price, variant.currency)

    def described(self, subject: Variant) -> str:
        return f"{subject} ({subject.sku}): {subject.stock:,} in stock"

    def tools(self, request: HttpRequest, subject: Variant) -> list[Tool]:
        found = [*super().tools(request, subject), *audit_of(request, variant=subject.pk)]
        if subject.product_id and request.user.has_perm("inventory.view_product"):
            edit = reverse("admin:inventory_product_change", args=[subject.product_id])
            found.append((edit, "Product"))
        return found

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("product")
