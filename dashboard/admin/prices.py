"""Edit a price as people write it, with a currency from ISO 4217's list."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.admin.edited import SideBySide
from flashsale.currencies import OFFERED
from flashsale.money import format_digits, parse_amount

_PAIR = {"price", "currency"}


class CurrencySelect(forms.Select):
    """A list of currencies, with a search field where JavaScript runs."""

    class Media:
        css = {"screen": ["admin/css/vendor/select2/select2.css", "admin/css/autocomplete.css"]}
        js = [
            "admin/js/vendor/jquery/jquery.js",
            "admin/js/vendor/select2/select2.full.js",
            "admin/js/jquery.init.js",
            "js/searchable.js",
        ]

    def __init__(self) -> None:
        super().__init__({"class": "searchable"})


class CodeSelect(forms.Select):
    """A list of codes for one of many rows: Django would render a template for each option of each row."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        own = flatatt(self.build_attrs(self.attrs, attrs))
        codes = tuple(str(code) for code, _ in self.choices)
        shown = _options(codes, str(value))
        return format_html('<select name="{}"{}>{}</select>', name, own, shown)


@lru_cache(maxsize=64)
def _options(codes: tuple[str, ...], chosen: str) -> SafeString:
    rows = ((code, " selected" if code == chosen else "", code) for code in codes)
    return format_html_join("", '<option value="{}"{}>{}</option>', rows)


def offered_currencies(present: str = "") -> Iterator[tuple[str, str]]:
    """The choices, the shop's own currency first. A present code that is not offered may stay."""
    if present and present not in OFFERED:
        yield present, f"{present}, which is no currency of ISO 4217"
    yield settings.DEFAULT_CURRENCY, _name(settings.DEFAULT_CURRENCY)
    yield from ((code, _name(code)) for code in OFFERED if code != settings.DEFAULT_CURRENCY)


def _name(code: str) -> str:
    return f"{code} {OFFERED[code].name}"


class PriceForm(SideBySide):
    """A form of a model with `price`, in minor units, and `currency`.

    Both are written together: half of a pair would change the amount.
    """

    price = forms.CharField(
        help_text="such as 129.00 or 129,00",
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )
    currency = forms.ChoiceField(
        choices=list(offered_currencies()),
        initial=lambda: settings.DEFAULT_CURRENCY,
        widget=CodeSelect,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        present = self.instance.currency
        # Only then, because Django inspects each choice: a product has a hundred of these forms.
        if "currency" in self.fields and present and present not in OFFERED:
            self.fields["currency"].choices = list(offered_currencies(present))  # type: ignore[attr-defined]  # a ChoiceField
        if self.instance.price is not None and present:
            self.initial["price"] = format_digits(self.instance.price, present)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.keys() >= _PAIR:
            try:
                cleaned["price"] = parse_amount(cleaned["price"], cleaned["currency"])
            except ValidationError as refusal:
                self.add_error("price", refusal)
        elif "price" in cleaned:
            cleaned["price"] = 0  # the form is refused: a text would be a second error
        return cleaned

    def fields_to_write(self) -> set[str]:
        written = super().fields_to_write()
        return written | _PAIR if written & _PAIR else written
