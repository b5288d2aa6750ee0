"""The forms of a product's page in admin: texts, pictures, variants, and several variants at once."""

import re
from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from dashboard import controls
from dashboard.admin.edited import LabelledRows, SideBySide
from dashboard.admin.prices import CurrencySelect, PriceForm, offered_currencies
from dashboard.admin.typed_options import skus_of, split, stem_of
from flashsale.money import parse_amount
from inventory.models import Variant
from inventory.names import LineFormField
from inventory.products import Picture, Product
from orders import stock_changes
from orders.changes import NotPossible
from orders.offer_changes import AskFirst, OnSale, check_change, lock_product_for_change

MOST_VARIANTS = 100  # of one product
MOST_PICTURES = 30


class ProductForm(SideBySide):
    """A product's texts, and fields from which several variants are made."""

    user: Any  # set by the page
    on_sale: OnSale | None = None  # locked, if a product that there is already is being saved
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)  # sent twice, units move once

    although_public = forms.BooleanField(
        required=False,
        label="change it although a sale is public",
        help_text="Needed for a change of name, option, price or currency in a public sale that has not"
        " opened: shoppers are looking at it.",
    )
    options = forms.CharField(
        required=False,
        max_length=2000,
        help_text="With commas between them: 40, 41, 42. With semicolons if one has a comma: 42,5; 43",
        widget=AdminTextInputWidget,
    )
    new_price = forms.CharField(
        required=False,
        label="Price of each",
        help_text="such as 129.00 or 129,00",
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )
    new_currency = forms.ChoiceField(required=False, label="Currency", widget=CurrencySelect)
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
            usual = self._usual_currency()
            self.fields["new_currency"].initial = usual
            self.fields["new_currency"].choices = list(offered_currencies(usual))  # type: ignore[attr-defined]  # a ChoiceField

    @cached_property
    def changed_data(self) -> list[str]:
        """The changed fields of the product itself: variants have audit entries of their own."""
        return [name for name in super().changed_data if name in ProductForm.Meta.fields]

    def _usual_currency(self) -> str:
        of_product = Variant.objects.filter(product=self.instance.pk) if self.instance.pk else None
        latest = (of_product or Variant.objects).order_by("-pk").first()
        return latest.currency if latest else settings.DEFAULT_CURRENCY

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        options = split(cleaned.get("options", ""))
        if options:
            self._plan_variants(options)
        self.instance.form = self  # for `VariantFormSet`
        return cleaned

    @property
    def confirmed(self) -> bool:
        return bool(self.cleaned_data.get("although_public"))

    def lock(self) -> None:
        """Lock what shoppers may be looking at; refuse another name of it, or ask about it."""
        try:
            self.on_sale = lock_product_for_change(self.instance.pk)
            present = Product.objects.get(pk=self.instance.pk)
            changed = changed_fields(self.changed_data, present, self.cleaned_data)
            check_change(changed, self.on_sale.sales(), confirmed=self.confirmed)
        except AskFirst as question:
            self.add_error("although_public", str(question))
        except NotPossible as refusal:
            self.add_error(None, str(refusal))

    def _plan_variants(self, options: list[str]) -> None:
        price, units = self._price_of_each(), self._units_of_each(len(options))
        present = self.instance.variants.count() if self.instance.pk else 0
        if present + len(options) > MOST_VARIANTS:
            self.add_error("options", f"A product has at most {MOST_VARIANTS} variants.")
        if price is None or self.errors:  # skus are made of the name, which may be one of them
            return
        stem = self.cleaned_data["stem"] or stem_of(self.cleaned_data["name"])
        for option, sku, number in zip(options, skus_of(stem, options), units, strict=True):
            variant = Variant(
                sku=sku,
                option=option,
                price=price,
                currency=self.cleaned_data["new_currency"] or self._usual_currency(),
            )
            self._check(variant)
            self.quick.append((variant, number))

    def _price_of_each(self) -> int | None:
        typed = self.cleaned_data.get("new_price")
        if not typed:
            self.add_error("new_price", "What does each cost?")
        elif "new_currency" in self.cleaned_data:
            currency = self.cleaned_data["new_currency"] or self._usual_currency()
            try:
                return parse_amount(typed, currency)
            except ValidationError as refusal:
                self.add_error("new_price", refusal)
        return None

    def _units_of_each(self, options: int) -> list[int]:
        numbers = split(self.cleaned_data.get("new_units", "")) or ["0"]
        if not all(
            re.fullmatch("[0-9]{1,7}", n) and int(n) <= stock_changes.MOST_MOVED for n in numbers
        ):
            self.add_error(
                "new_units",
                f"Whole numbers up to {stock_changes.MOST_MOVED:,}, with commas between them.",
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
            self.add_error("options", f"“{variant.option}” is there twice.")
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
        if not self.instance.pk:
            self.initial["position"] = None
        # An unchanged row is not checked: each check asks PostgreSQL, while the product's sales are locked.
        self.empty_permitted = self.empty_permitted or bool(self.instance.pk)

    def clean_position(self) -> int | None:
        """None: at the end."""
        typed: int | None = self.cleaned_data["position"]
        return self.instance.position if typed is None and self.instance.pk else typed


class PictureForm(Ordered):
    class Meta:
        model = Picture
        fields = ["file", "text", "position"]
        labels = {"position": "order"}


class VariantForm(Ordered, PriceForm):
    """A variant. Its units are added or taken away, never set: shoppers may be buying them."""

    user: Any  # set by the page

    units = forms.IntegerField(
        required=False,
        min_value=-stock_changes.MOST_MOVED,
        max_value=stock_changes.MOST_MOVED,
        label="Add units",
        help_text="-2 takes two away, for the reason beside it.",
    )
    reason = LineFormField(required=False, max_length=200, help_text="Kept in the ledger.")

    class Meta:
        model = Variant
        fields = ["sku", "option", "price", "currency", "position"]
        labels = {"position": "order"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "sku" in self.fields:
            self.fields["sku"].disabled = True

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if units := cleaned.get("units"):
            control = controls.Restock if units > 0 else controls.Correct
            if not control.permitted_to(self.user):  # they are not shown the field
                self.add_error(None, "You may not change the stock in this way.")
            elif units < 0:
                self._check_removal(units, cleaned.get("reason", ""))
        return cleaned

    def _check_removal(self, units: int, reason: str) -> None:
        try:
            stock_changes.check_left(self.instance, units)
        except NotPossible as error:
            self.add_error("units", str(error))
            return
        if not reason.strip():
            self.add_error("reason", "A correction needs a reason.")


class VariantFormSet(LabelledRows):
    """Has the product's form lock what a public sale offers, and asks before that changes.

    Last of all checks: a hundred rows take a second to read, and shoppers would wait for the locks.
    """

    def clean(self) -> None:
        super().clean()
        form = self.instance.form
        if self.instance.pk:
            form.lock()
        for row in self.initial_forms:
            if form.on_sale and row.has_changed() and row not in self.deleted_forms:
                self._check(row, form.on_sale)

    def is_valid(self) -> bool:
        return super().is_valid() and not self.instance.form.errors  # `lock` may have added one

    def _check(self, row: Any, on_sale: OnSale) -> None:
        present = on_sale.variants.get(row.instance.pk)
        if present is None:
            return
        changed = changed_fields(row.fields_to_write(), present, row.cleaned_data)
        confirmed = self.instance.form.confirmed
        try:
            check_change(changed, on_sale.sales(present.pk), confirmed=confirmed)
        except NotPossible as refusal:
            row.add_error(None, str(refusal))


def changed_fields(names: Collection[str], present: Any, typed: Mapping[str, Any]) -> set[str]:
    """Those of these fields whose typed value is not the present one."""
    return {name for name in names if getattr(present, name, None) != typed.get(name)}
