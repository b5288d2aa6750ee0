"""Options that staff type in one field, and the skus that are made of them."""

import re
from collections.abc import Sequence
from itertools import chain, count

from django.utils.text import slugify

_HALVES = str.maketrans({"½": ".5", "¼": ".25", "¾": ".75", "⅓": ".33", "⅔": ".67"})


def split(typed: str) -> list[str]:
    """The parts between commas, semicolons and line breaks. In a text with semicolons a comma between two
    digits belongs to its part: 42,5."""
    comma = r"(?<!\d),|,(?!\d)" if ";" in typed else ","
    return [part.strip() for part in re.split(rf"[;\n]|{comma}", typed) if part.strip()]


def skus_of(stem: str, options: Sequence[str]) -> list[str]:
    """A sku for each option. Options that differ in other characters only get a number: A-x, A-x-2;
    equal options get equal skus."""
    skus: dict[str, str] = {}
    taken = set[str]()
    for option in options:
        if option.casefold() not in skus:
            first = f"{stem}-{plain(option)}"
            numbered = (f"{first}-{number}" for number in count(2))
            sku = next(sku for sku in chain([first], numbered) if sku.lower() not in taken)
            taken.add(sku.lower())
            skus[option.casefold()] = sku
    return [skus[option.casefold()] for option in options]


def plain(option: str) -> str:
    """An option as part of a sku: `EU 42½` becomes EU-42.5, `42 2/3` becomes 42-2-3."""
    ascii_only = re.sub(r"\s+\.", ".", option.translate(_HALVES))
    return re.sub(r"[^A-Za-z0-9._]+", "-", ascii_only).strip("-") or "x"


def stem_of(name: str) -> str:
    """What the skus of a product begin with: RIDGELINE-TRAIL for “Ridgeline trail shoe”."""
    stem = ""
    for word in slugify(name).upper().split("-"):
        if len(stem) + len(word) > 16:
            break
        stem = f"{stem}-{word}" if stem else word
    return stem or "ITEM"
