"""The forms of a product's page in admin: texts, pictures, variants, and several variants at once."""

import re
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.functional import cached_property
from django.utils.text import slugify

from dashboard import controls
from dashboard.admin.base import SideBySide
from inventory.models import Variant
from inventory.pictures import reencode
from inventory.products import Picture, Product
from orders.stock_changes import MOST_MOVED

_MOST_OPTIONS = 100  # typed at once


class MinorUnits(forms.IntegerField):
    """Refuses 129.00, which Django takes for 129: the user means major units."""

    re_decimal = re.compile("(?!)")


class ProductForm(SideBySide):
    """A product's texts, and fields from which several variants are made."""

    user: Any  # set by the page
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)  # sent twice, units move once

    options = forms.CharField(
        required=False,
        max_length=2000,
        help_text="With commas between them: 40, 41, 42, 43",
        widget=AdminTextInputWidget,
    )
    new_price = MinorUnits(
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        label="Price of each",
        help_text="in minor units",
    )
    new_currency = forms.CharField(required=False, max_length=3, label="Currency")
    new_units = forms.CharField(
        required=False,
        max_length=2000,
        label="Units",
        help_text="of each; or a number for each option: 10, 20, 20, 10",
    )
    stem = forms.CharField(
        required=False,
        max_length=30,
        label="Skus begin with",
        help_text="Empty: made from the name.",
    )

    class Meta:
        model = Product
        fields = ["name", "slug", "description", "size_guide"]
        widgets = {
            "description": AdminTextareaWidget({"rows": 5}),
            "size_guide": AdminTextareaWidget({"rows": 3}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quick: list[tuple[Variant, int]] = []  # variants to be made, with their units
        if "key" in self.fields:
            self.fields["key"].show_hidden_initial = False
            self.fields["new_currency"].initial = self._usual_currency()

    @cached_property
    def changed_data(self) -> list[str]:
        """The changed fields of the product itself: variants have audit entries of their own."""
        return [name for name in super().changed_data if name in ProductForm.Meta.fields]

    def _usual_currency(self) -> str:
        of_product = Variant.objects.filter(product=self.instance.pk) if self.instance.pk else None
        latest = (of_product or Variant.objects).order_by("-pk").first()
        return latest.currency if latest else "EUR"

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        options = split(cleaned.get("options", ""))
        if options and not self.errors:
            self._plan_variants(options)
        return cleaned

    def _plan_variants(self, options: list[str]) -> None:
        typed = dict(self.cleaned_data)  # an error takes its field out
        if typed["new_price"] is None:
            self.add_error("new_price", "What does each cost?")
            return
        if len(options) > _MOST_OPTIONS:
            self.add_error("options", f"At most {_MOST_OPTIONS} at once.")
            return
        units = self._units_of_each(len(options))
        for option, number in zip(options, units, strict=False):
            variant = Variant(
                sku=f"{typed['stem'] or stem_of(typed['name'])}-{plain(option)}",
                option=option,
                price=typed["new_price"],
                currency=typed["new_currency"],
            )
            self._check(variant)
            self.quick.append((variant, number))

    def _units_of_each(self, options: int) -> list[int]:
        numbers = split(self.cleaned_data["new_units"]) or ["0"]
        if not all(re.fullmatch("[0-9]{1,7}", n) and int(n) <= MOST_MOVED for n in numbers):
            self.add_error(
                "new_units", f"Whole numbers up to {MOST_MOVED:,}, with commas between them."
            )
        elif len(numbers) not in (1, options):
            self.add_error("new_units", f"{len(numbers)} numbers for {options} options.")
        elif any(map(int, numbers)) and not controls.Restock.permitted_to(self.user):
            self.add_error(None, "You may not add units.")  # they are not shown the field
        else:
            units = [int(number) for number in numbers]
            return units if len(units) == options else units * options
        return []

    def _check(self, variant: Variant) -> None:
        if variant.sku in {planned.sku for planned, _ in self.quick}:
            self.add_error("options", f"Two options would have the sku {variant.sku}.")
        try:
            variant.full_clean(exclude=["product"])
        except ValidationError as error:
            for field, words in error.message_dict.items():
                shown = {"currency": "new_currency", "price": "new_price"}.get(field, "options")
                self.add_error(shown, [f"{variant.sku}: {word}" for word in words])


class Ordered(SideBySide):
    """A row with a position; a new one goes to the end unless staff type another."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "position" in self.fields:
            self.fields["position"].required = False

    def clean_position(self) -> int:
        return self.cleaned_data["position"] or 0


class PictureForm(Ordered):
    class Meta:
        model = Picture
        fields = ["file", "text", "position"]
        widgets = {"file": forms.FileInput({"accept": "image/*"})}
        labels = {"position": "order"}

    def clean_file(self) -> Any:
        picture = self.cleaned_data["file"]
        return reencode(picture) if isinstance(picture, UploadedFile) else picture


class VariantForm(Ordered):
    """A variant. Its units are added or taken away, never set: shoppers may be buying them."""

    user: Any  # set by the page

    units = forms.IntegerField(
        required=False,
        min_value=-MOST_MOVED,
        max_value=MOST_MOVED,
        label="Add units",
        help_text="-2 takes two away, for the reason beside it.",
    )
    reason = forms.CharField(required=False, max_length=200, help_text="Kept in the ledger.")

    class Meta:
        model = Variant
        fields = ["sku", "option", "price", "currency", "position"]
        labels = {"position": "order"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "sku" in self.fields:
            self.fields["sku"].disabled = True

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if units := cleaned.get("units"):
            control = controls.Restock if units > 0 else controls.Correct
            if not control.permitted_to(self.user):  # they are not shown the field
                self.add_error(None, "You may not change the stock in this way.")
            elif self.instance.stock + units < 0:
                self.add_error("units", f"Only {self.instance.stock} units are in stock.")
            elif units < 0 and not cleaned.get("reason", "").strip():
                self.add_error("reason", "A correction needs a reason.")
        return cleaned


def split(typed: str) -> list[str]:
    """The parts between commas, semicolons and line breaks."""
    return [part.strip() for part in re.split(r"[,;\n]", typed) if part.strip()]


def plain(option: str) -> str:
    """An option as part of a sku: `EU 42½` becomes EU-42."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", option).strip("-") or "x"


def stem_of(name: str) -> str:
    """What the skus of a product begin with: RIDGELINE-TRAIL for “Ridgeline trail shoe”."""
    stem = ""
    for word in slugify(name).upper().split("-"):
        if len(stem) + len(word) > 16:
            break
        stem = f"{stem}-{word}" if stem else word
    return stem or "ITEM"
