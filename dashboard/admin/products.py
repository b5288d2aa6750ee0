"""Edit variants. Their stock moves through the ledger only."""

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import PositiveIntegerField
from django.http import HttpRequest

from dashboard import controls
from dashboard.admin.base import Tool
from dashboard.admin.edited import SideBySide
from dashboard.admin.history import audit_of
from dashboard.admin.pictures import WithPictures
from flashsale.templatetags.money import money
from inventory.models import Variant


class MinorUnits(forms.IntegerField):
    """Refuses 129.00, which Django takes for 129: the user means major units."""

    re_decimal = re.compile("(?!)")


class VariantForm(SideBySide):
    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.cleaned_data.get("picture") and not self.cleaned_data.get("picture_text"):
            self.add_error("picture_text", "A picture needs a text for those who cannot see it.")
        return cleaned


@admin.register(Variant)
class VariantAdmin(WithPictures):
    form = VariantForm
    formfield_overrides = {PositiveIntegerField: {"form_class": MinorUnits}}
    controls = controls.OF_VARIANTS
    list_display = ["sku", "name", "option", "shown_price", "stock"]
    search_fields = ["sku", "name"]
    fields = [
        *("sku", "name", "option", "description", "picture", "picture_text"),
        *("price", "currency", "shown_price", "stock"),
    ]

    @admin.display(description="as shoppers read it", ordering="price")
    def shown_price(self, variant: Variant) -> str:
        """Empty if the typed price or currency is invalid."""
        known = variant.price is not None and variant.currency
        return money(variant.price, variant.currency) if known else ""

    def described(self, subject: Variant) -> str:
        return f"{subject} ({subject.sku}): {subject.stock:,} in stock"

    def tools(self, request: HttpRequest, subject: Variant) -> list[Tool]:
        return [*super().tools(request, subject), *audit_of(request, variant=subject.pk)]

    def get_readonly_fields(self, request: HttpRequest, obj: Variant | None = None) -> list[str]:
        shown = ["stock", "shown_price"]
        return [*shown, "sku"] if obj else shown
