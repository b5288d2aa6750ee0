"""Edit variants. Their stock moves through the ledger only."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest

from dashboard import controls
from dashboard.admin.base import Edited, Tool
from dashboard.admin.history import audit_of
from dashboard.admin.prices import PriceForm
from flashsale.templatetags.money import money
from inventory.models import Variant
from inventory.pictures import Picture, reencode


class VariantForm(PriceForm):
    def clean_picture(self) -> Any:
        """Re-encode a new picture; pass False, Django's value for "remove it", through."""
        picture = self.cleaned_data["picture"]
        return reencode(picture) if isinstance(picture, UploadedFile) else picture

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.cleaned_data.get("picture") and not self.cleaned_data.get("picture_text"):
            self.add_error("picture_text", "A picture needs a text for those who cannot see it.")
        return cleaned


@admin.register(Variant)
class VariantAdmin(Edited):
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

    def get_readonly_fields(self, request: HttpRequest, obj: Variant | None = None) -> list[str]:
        shown = ["stock", "shown_price"]
        return [*shown, "sku"] if obj else shown

    def save_model(self, request: HttpRequest, obj: Variant, form: Any, change: bool) -> None:
        before = Variant.objects.get(pk=obj.pk).picture if change else None
        super().save_model(request, obj, form, change)
        if before and before.name != obj.picture.name:
            transaction.on_commit(_removal(before))


def _removal(picture: Picture) -> Callable[[], None]:
    names = picture.names

    def remove() -> None:
        for name in names:
            picture.storage.delete(name)

    return remove
