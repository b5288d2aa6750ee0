"""Moments in the reader's language: `{{ sale.opens_at|moment_in_words }}`."""

from datetime import datetime

from babel.dates import format_date, format_time
from django import template
from django.conf import settings
from django.utils.translation import get_language, to_locale

register = template.Library()

# Babel's plain English is American: "November 25, 2026, 2:30 PM".
_LOCALES = {"en": "en_GB"}
_O_CLOCK = {"de": " Uhr"}


@register.filter(expects_localtime=True)
def moment_in_words(moment: datetime | None) -> str:
    """Date and time as the template's time zone shows them: 25 November 2026, 14:30."""
    if moment is None:
        return ""
    language = get_language() or settings.LANGUAGE_CODE
    locale = _LOCALES.get(language) or to_locale(language)
    clock = format_time(moment, "short", locale=locale)
    return f"{format_date(moment, 'long', locale)}, {clock}{_O_CLOCK.get(language, '')}"
