"""The checkout's form: e-mail address, name, address by country, telephone number, terms.

Which fields it has depends on what the sale asks and on the country. Hidden characters are
removed from texts: they come with copied text, and are no reason to send a shopper back.
"""

import unicodedata
from functools import lru_cache
from typing import Any

import phonenumbers
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts import addresses
from accounts.contacts import Details
from flashsale import characters
from inventory.models import Sale
from storefront.long_select import LongChoices, LongSelect

MOST_CHARACTERS = {"street": 300, "postcode": 20, "sorting_code": 20, "phone": 40}
_USUAL = 120
_AUTOCOMPLETE = {
    "email": "email",
    "name": "name",
    "company": "organization",
    "country": "country",
    "street": "street-address",
    "district": "address-level3",
    "city": "address-level2",
    "region": "address-level1",
    "postcode": "postal-code",
    "phone": "tel",
}


class _Line(forms.CharField):
    """One line of text, without hidden characters."""

    def to_python(self, value: Any) -> str:
        text = unicodedata.normalize("NFC", super().to_python(value) or "")
        for hidden in characters.find_hidden(text):
            text = text.replace(hidden, "")
        try:
            return self.clean_text(text)
        except ValidationError as error:
            raise ValidationError(_("Please use plain letters."), code="plain") from error

    def clean_text(self, text: str) -> str:
        return characters.clean_line(text)


class _Lines(_Line):
    def clean_text(self, text: str) -> str:
        lines = (characters.clean_line(line) for line in characters.clean_text(text).split("\n"))
        return "\n".join(line for line in lines if line)


class _Code(_Line):
    def clean_text(self, text: str) -> str:
        return addresses.clean_code(super().clean_text(text))


class CheckoutForm(forms.Form):
    """The fields that a sale asks for, with those of `country` if it asks for an address."""

    def __init__(self, sale: Sale, country: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.country_code = country
        if sale.ask:
            self.fields["email"] = _email()
        if sale.ask == Sale.Ask.ADDRESS:
            self._ask_for_address()
        if sale.terms:
            self.fields["terms"] = forms.BooleanField(
                label=_("I accept the terms"),
                error_messages={"required": _("Please accept the terms to go on.")},
            )

    def _ask_for_address(self) -> None:
        rules = addresses.rules_for(self.country_code)
        self.fields["country"] = _country()
        self.fields["name"] = _line("name", _("First and last name"))
        self.fields["company"] = _line("company", _("Company"), required=False)
        for name in (name for line in rules.lines for name in line):
            self.fields[name] = _address_field(name, rules)
        self.fields["phone"] = _phone()

    @property
    def address_lines(self) -> list[list[forms.BoundField]]:
        """The address fields of the country, line by line."""
        if "country" not in self.fields:
            return []
        rules = addresses.rules_for(self.country_code)
        return [[self[name] for name in line] for line in rules.lines]

    @property
    def faulty(self) -> list[forms.BoundField]:
        """The fields with errors, as they follow each other on the page."""
        return [self[name] for name in self.fields if self[name].errors]

    def clean_postcode(self) -> str:
        postcode: str = self.cleaned_data["postcode"]
        country, region = self.country_code, self.cleaned_data.get("region", "")
        if postcode and not addresses.is_postcode(postcode, country, region):
            if not addresses.is_postcode(postcode, country):
                example = addresses.rules_for(country).postcode_example
                raise ValidationError(
                    _("No code of this country has this form. One is %(example)s.")
                    % {"example": example}
                )
            raise ValidationError(_("This code belongs to another region than the one chosen."))
        return postcode

    def clean_phone(self) -> str:
        typed: str = self.cleaned_data["phone"]
        if not typed:
            return ""
        try:
            number = phonenumbers.parse(typed, self.country_code or None)
        except phonenumbers.NumberParseException:
            number = None
        if number is None or not phonenumbers.is_valid_number(number):
            code = phonenumbers.country_code_for_region(self.country_code) or 49
            raise ValidationError(
                _("This is no telephone number. Write it with the code of the country: +%(code)s …")
                % {"code": code}
            )
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    @property
    def details(self) -> Details:
        """What a valid form says."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "terms"}
        return Details(**given)


# --- Fields ---------------------------------------------------------------------------------------


def _email() -> forms.Field:
    return forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("for the confirmation and the link to your order"),
        widget=forms.EmailInput(attrs=_attributes("email") | {"dir": "ltr"}),
        error_messages={
            "required": _("Please enter your e-mail address."),
            "invalid": _("This is no e-mail address. One looks like anna@example.com."),
        },
    )


def _country() -> forms.Field:
    countries = addresses.countries_by_name(get_language() or "")
    return forms.ChoiceField(
        label=_("Country"),
        choices=LongChoices((("", _("Please choose")), *countries)),
        # With scripts the fields follow the choice. Nothing but the country is sent for that.
        widget=LongSelect(
            attrs=_attributes("country")
            | {"hx-get": "", "hx-trigger": "change", "hx-target": "#address"}
        ),
        error_messages=dict.fromkeys(
            ("required", "invalid_choice"), _("Please choose the country.")
        ),
    )


def _address_field(name: str, rules: addresses.Rules) -> forms.Field:
    required = name in rules.required
    if name == "region" and rules.regions:
        return _region(rules, required=required)
    return _line(name, _label_of(name, rules.kinds.get(name, "")), required=required, rules=rules)


def _region(rules: addresses.Rules, *, required: bool) -> forms.Field:
    return forms.ChoiceField(
        label=_label_of("region", rules.kinds["region"]),
        choices=LongChoices((("", _("Please choose")), *rules.regions)),
        required=required,
        widget=LongSelect(attrs=_attributes("region")),
        error_messages=dict.fromkeys(("required", "invalid_choice"), _("Please choose one.")),
    )


def _line(
    name: str, label: str, *, required: bool = True, rules: addresses.Rules | None = None
) -> forms.Field:
    attributes = _attributes(name)
    kind: type[_Line] = _Line
    widget: forms.Widget = forms.TextInput(attrs=attributes)
    if name == "street":
        kind, widget = _Lines, forms.Textarea(attrs={**attributes, "rows": 2})
    elif name in ("postcode", "sorting_code"):
        kind = _Code
        example = rules.postcode_example if rules else ""
        digits = name == "postcode" and example.isdigit()
        widget.attrs |= {"inputmode": "numeric"} if digits else {"autocapitalize": "characters"}
    return kind(
        label=label,
        max_length=MOST_CHARACTERS.get(name, _USUAL),
        required=required,
        widget=widget,
        error_messages={"required": _("Please fill this in.")},
    )


def _phone() -> forms.Field:
    return forms.CharField(
        label=_("Telephone"),
        max_length=MOST_CHARACTERS["phone"],
        required=False,
        help_text=_("for the carrier, if there is a question"),
        widget=forms.TextInput(attrs=_attributes("phone") | {"type": "tel", "dir": "ltr"}),
    )


def _attributes(name: str) -> dict[str, str]:
    attributes = {"dir": "auto"} if name not in ("country", "region") else {}
    if name in _AUTOCOMPLETE:
        attributes["autocomplete"] = _AUTOCOMPLETE[name]
    return attributes


def _label_of(name: str, kind: str) -> str:
    """What the country calls the field, in the reader's language."""
    return _labels(get_language() or "", kind)[name]


@lru_cache(maxsize=256)
def _labels(language: str, kind: str) -> dict[str, str]:
    """All labels in the active language, which is `language`, for a field that the country calls `kind`."""
    return {
        "street": _("Street and house number"),
        "sorting_code": _("Sorting code"),
        "postcode": {"zip": _("ZIP code"), "eircode": "Eircode", "pin": _("PIN code")}.get(
            kind, _("Postcode")
        ),
        "city": {
            "post_town": _("Post town"),
            "district": _("District"),
            "suburb": _("Suburb"),
        }.get(kind, _("City")),
        "district": {
            "townland": _("Townland"),
            "neighborhood": _("Neighbourhood"),
            "village_township": _("Village or township"),
            "district": _("District"),
        }.get(kind, _("Suburb")),
        "region": {
            "state": _("State"),
            "county": _("County"),
            "prefecture": _("Prefecture"),
            "island": _("Island"),
            "department": _("Department"),
            "oblast": _("Oblast"),
            "parish": _("Parish"),
            "emirate": _("Emirate"),
            "district": _("District"),
            "area": _("Area"),
            "do_si": _("Province or city"),
        }.get(kind, _("Province")),
    }
