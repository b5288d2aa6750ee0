"""A long select is what Django's own would be."""

import pytest
from django import forms
from django.test.html import parse_html

from storefront.long_select import LongSelect

CHOICES = [("", "Please choose"), ("DE", "Germany"), ("CI", "Côte d'Ivoire <&>")]


@pytest.mark.parametrize("value", ["", "DE", "CI", "none", None])
def test_it_has_the_same_options_and_attributes(value: str | None) -> None:
    attributes = {"autocomplete": "country", "required": True, "disabled": False, "title": '"<&'}
    ours, djangos = (
        kind(attrs={"hx-get": ""}, choices=CHOICES).render("country", value, attributes)
        for kind in (LongSelect, forms.Select)
    )
    assert parse_html(ours) == parse_html(djangos)
    assert parse_html(ours) != parse_html(djangos.replace("Germany", "Greece"))


def test_a_field_of_a_form_uses_it() -> None:
    class Address(forms.Form):
        country = forms.ChoiceField(choices=CHOICES, widget=LongSelect)

    shown = str(Address({"country": "DE"})["country"])
    assert '<option value="DE" selected>Germany</option>' in shown
    assert 'id="id_country"' in shown
