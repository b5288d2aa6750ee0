"""Edit a price as people write it, with a currency from ISO 4217's list."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from dashboard.admin.edited import SideBySide
from flashsale.currencies import OFFERED
from flashsale.money import format_digits, parse_amount

_SELECTED = mark_safe(" selected")  # no one's text
_PAIR = {"price", "currency"}


class CurrencyList(forms.Select):
    """A list of currencies."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """As Django does. Its templates take 30 ms for all currencies, and a product has many rows."""
        own = flatatt(self.build_attrs(self.attrs, attrs))
        choices: Any = self.choices
        options = _options(tuple(choices), frozenset(self.format_value(value)))
        return format_html('<select name="{}"{}>{}</select>', name, own, options)


class CurrencySelect(CurrencyList):
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


@lru_cache(maxsize=64)
def _options(choices: tuple[tuple[str, str], ...], chosen: frozenset[str]) -> SafeString:
    written = ((code, _SELECTED if code in chosen else "", name) for code, name in choices)
    return format_html_join("\n", '<option value="{}"{}>{}</option>', written)


class PriceForm(SideBySide):
    """A form of a model with `price`, in minor units, and `currency`.

    Both are written together: half of a pair would change the amount.
    """

    price = forms.CharField(
        help_text="such as 129.00 or 129,00",
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )
    currency = forms.ChoiceField(widget=CurrencySelect, initial=lambda: settings.DEFAULT_CURRENCY)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        present = self.instance.currency
        if "currency" in self.fields:
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


def offered_currencies(present: str = "") -> Iterator[tuple[str, str]]:
    """The choices, the shop's own currency first. A present code that is not offered may stay."""
    if present and present not in OFFERED:
        yield present, f"{present}, which is no currency of ISO 4217"
    yield settings.DEFAULT_CURRENCY, _name(settings.DEFAULT_CURRENCY)
    yield from ((code, _name(code)) for code in OFFERED if code != settings.DEFAULT_CURRENCY)


def _name(code: str) -> str:
    return f"{code} {OFFERED[code].name}"
