"""Amounts of money as people type and read them. Everywhere else they are whole minor units.

What can be read in two ways is refused with a sentence, never guessed.
"""

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.numbers import format_currency, get_currency_symbol
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.formats import get_format, number_format
from django.utils.translation import get_language, to_locale

from flashsale.currencies import decimals_of

MOST = 2**31 - 1  # minor units that a column of PostgreSQL holds
_LONGEST = 60  # characters

# Groups of three, 1,299 and 1'299 and 1 299; or as in India, 1,29,900.
_WHOLE = re.compile(
    r"[0-9]*|[0-9]{1,3}([.,' ])[0-9]{3}(?:\1[0-9]{3})*|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}"
)
_LOOKALIKES = str.maketrans("\u2018\u2019\u02bc\u00b4\uff0c\uff0e\uffe5", "'''',.¥")


# --- What people type -----------------------------------------------------------------------------


def parse_amount(text: str, currency: str) -> int:
    """Read 129.00, 1.299,00 or € 1,299 in minor units of the currency.

    Of two different marks the last separates the decimals. A single mark before three digits may
    separate thousands or decimals; it is accepted only if the active language writes it so and the
    currency allows no other reading. Raises ValidationError with a sentence.
    """
    number = _strip_currency(text, currency)
    whole, decimals = _split(number, currency)
    digits = f"{whole}{decimals}"
    if not (_WHOLE.fullmatch(whole) and re.fullmatch("[0-9]*", decimals) and digits):
        raise ValidationError(_explain_form(currency))
    places = decimals_of(currency)
    if len(decimals) > places:
        raise ValidationError(_explain_decimals(currency))
    minor_units = int(re.sub("[^0-9]", "", whole) + decimals.ljust(places, "0"))
    if minor_units > MOST:
        raise ValidationError(f"The largest price is {format_money(MOST, currency)}.")
    return minor_units


def _strip_currency(text: str, currency: str) -> str:
    """The number in plain digits, without the currency's own code or sign beside it."""
    plain = _plain(text)
    if len(plain) > _LONGEST:
        raise ValidationError(_explain_form(currency))
    for sign in _signs(currency):
        if plain.upper().startswith(sign):
            plain = plain[len(sign) :].strip()
        if plain.upper().endswith(sign):
            plain = plain[: -len(sign)].strip()
    return plain


def _plain(text: str) -> str:
    """The text with ASCII for digits of any script, single spaces, and no invisible characters."""
    visible = (c for c in text.translate(_LOOKALIKES) if unicodedata.category(c) != "Cf")
    digits = (str(unicodedata.decimal(c)) if c.isdecimal() else c for c in visible)
    return " ".join("".join(digits).split())


@lru_cache(maxsize=256)
def _signs(currency: str) -> tuple[str, ...]:
    """What may stand beside an amount of the currency, in capitals, the longest first."""
    locales = [to_locale(code) for code, _ in settings.LANGUAGES]
    symbols = {_plain(get_currency_symbol(currency, locale)).upper() for locale in locales}
    bare = {re.sub("^[A-Z]+(?=[^A-Z ])", "", symbol) for symbol in symbols}  # CA$ is $ in Canada
    return tuple(sorted({currency, *symbols, *bare}, key=len, reverse=True))


def _split(number: str, currency: str) -> tuple[str, str]:
    """Separate whole units, perhaps grouped, from the decimals."""
    marks = [character for character in number if character in ".,"]
    if not marks or (len(marks) > 1 and len(set(marks)) == 1):
        return number, ""
    whole, _, decimals = number.rpartition(marks[-1])
    if not decimals or marks.count(marks[-1]) > 1:
        raise ValidationError(_explain_form(currency))
    if re.fullmatch("[1-9][0-9]{0,2}[.,][0-9]{3}", number):
        return _split_ambiguous(whole, marks[0], decimals, currency)
    return whole, decimals


def _split_ambiguous(whole: str, mark: str, decimals: str, currency: str) -> tuple[str, str]:
    """Separate 1.299, which may be one or a thousand."""
    places, for_decimals = decimals_of(currency), mark == get_format("DECIMAL_SEPARATOR")
    if places >= len(decimals) and for_decimals:
        return whole, decimals
    if places == 0 and not for_decimals:
        return f"{whole}{mark}{decimals}", ""
    thousands = format_digits(int(f"{whole}{decimals}") * 10**places, currency)
    if places < len(decimals):
        other = _explain_decimals(currency)
    else:
        ones = format_digits(int(f"{whole}{decimals.ljust(places, '0')}"), currency)
        other = f"If not, write {ones}."
    raise ValidationError(
        f"{whole}{mark}{decimals} can be read in two ways. If it means thousands, write {thousands}."
        f" {other}"
    )


def _explain_form(currency: str) -> str:
    example = format_digits(129 * 10 ** decimals_of(currency), currency)
    return f"Write an amount of {currency} as a number, such as {example}."


def _explain_decimals(currency: str) -> str:
    places = decimals_of(currency)
    return f"{currency} has {places or 'no'} decimals."


# --- What people read -----------------------------------------------------------------------------


def as_decimal(minor_units: int, currency: str) -> Decimal:
    """The amount in units of the currency, with all its decimals."""
    return Decimal(minor_units).scaleb(-decimals_of(currency))


def format_digits(minor_units: int, currency: str) -> str:
    """The amount as a form holds it, in the active language: 1299.00, in German 1299,00."""
    amount = as_decimal(minor_units, currency)
    return str(number_format(amount, decimals_of(currency), use_l10n=True, force_grouping=False))


def format_money(minor_units: int, currency: str) -> str:
    """The amount with its currency, in the active language: €1,299.00, in German 1.299,00 €."""
    locale = to_locale(get_language() or settings.LANGUAGE_CODE)
    return str(
        format_currency(
            as_decimal(minor_units, currency),
            currency,
            _pattern(locale, currency),
            locale=locale,
            currency_digits=False,
        )
    )


@lru_cache(maxsize=512)
def _pattern(locale: str, currency: str) -> str:
    """The language's pattern, with the currency's decimals, and a space between letters and digits."""
    pattern = str(Locale.parse(locale).currency_formats["standard"].pattern)
    places = decimals_of(currency)
    pattern = pattern.replace("0.00", f"0.{'0' * places}" if places else "0")
    if get_currency_symbol(currency, locale)[-1].isalpha():
        pattern = pattern.replace("¤#", "¤\xa0#")
    return pattern
