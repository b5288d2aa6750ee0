"""A select with hundreds of options, for a page of a crowd.

Django renders two templates for each option: for 250 countries that is four fifths of the checkout's page.
It also copies the options for each form.
"""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.choices import BaseChoiceIterator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_SELECTED = SafeString(" selected")


class LongChoices(BaseChoiceIterator):
    """Choices without groups, which Django neither checks nor copies."""

    def __init__(self, choices: tuple[tuple[str, str], ...]) -> None:
        self._choices = choices

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._choices)


class LongSelect(forms.Select):
    """Renders what `forms.Select` does for choices without groups."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = set(self.format_value(value))
        options = (
            (key, _SELECTED if str(key) in chosen else "", label) for key, label in self.choices
        )
        return format_html(
            "<select{}>\n{}\n</select>",
            flatatt(self.build_attrs(self.attrs, {"name": name, **(attrs or {})})),
            format_html_join("\n", '<option value="{}"{}>{}</option>', options),
        )
