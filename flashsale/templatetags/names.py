"""Names in templates: their direction does not reach the text around them."""

from django import template
from django.utils.html import format_html

from flashsale import characters

register = template.Library()


@register.filter
def bdi(name: str | None) -> str:
    """Isolate a name within a page: `<bdi>name</bdi>`; nothing if it is empty."""
    return format_html("<bdi>{}</bdi>", name) if name else ""


@register.filter
def isolate(name: str) -> str:
    """Isolate a name where elements are not possible: in titles and attributes."""
    return characters.isolate(name)
