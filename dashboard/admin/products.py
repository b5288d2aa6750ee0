"""Edit variants. Their stock moves through the ledger only."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from dashboard import controls
from dashboard.admin.base import Tool
from dashboard.admin.history import audit_of
from dashboard.admin.pictures import WithPictures
from dashboard.admin.prices import PriceForm
from flashsale.templatetags.money import money
from inventory.models import Sale, Variant
from orders.changes import NotPossible
from orders.variant_changes import AskFirst, announce_to_pages, check_change, lock_for_change


class VariantForm(PriceForm):
    although_public = forms.BooleanField(
        required=False,
        label="change it although a sale is public",
        help_text="Needed for a change of name, option, price or currency in a public sale that has not"
        " opened: shoppers are looking at it.",
    )
    selling: Sequence[Sale] = ()  # the locked sales that list the variant

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.cleaned_data.get("picture") and not self.cleaned_data.get("picture_text"):
            self.add_error("picture_text", "A picture needs a text for those who cannot see it.")
        if self.instance.pk and connection.in_atomic_block:  # it is saved, not only shown again
            try:
                present, self.selling = lock_for_change(self.instance.pk)
                changed = {
                    name
                    for name in self.fields_to_write()
                    if getattr(present, name, None) != self.cleaned_data.get(name)
                }
                confirmed = self.cleaned_data.get("although_public", False)
                check_change(changed, self.selling, confirmed=confirmed)
            except AskFirst as question:
                self.add_error("although_public", str(question))
            except NotPossible as refusal:
                raise ValidationError(str(refusal)) from refusal
        return cleaned


@admin.register(Variant)
class VariantAdmin(WithPictures):
    form = VariantForm
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

    def get_fields(self, request: HttpRequest, obj: Variant | None = None) -> Any:
        """Offer the confirmation where it may be needed."""
        asks = obj is not None and self.has_change_permission(request, obj) and _awaited(obj)
        return [*self.fields, "although_public"] if asks else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Variant | None = None) -> list[str]:
        shown = ["stock", "shown_price"]
        return [*shown, "sku"] if obj else shown

    def save_model(self, request: HttpRequest, obj: Variant, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        announce_to_pages(form.fields_to_write(), form.selling)


def _awaited(variant: Variant) -> bool:
    """Whether a public sale that has not opened lists the variant."""
    sales = Sale.objects.filter(listings__variant=variant, finished=False)
    return any(sale.phase(timezone.now()) == "upcoming" for sale in sales)
