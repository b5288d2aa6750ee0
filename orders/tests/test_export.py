"""A value of the export is a text, never a formula of a spreadsheet."""

import re
from itertools import product

import pytest

from orders.export import _harmless

SIGNS = ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
# Spaces and characters that cannot be seen: byte order mark, zero-width space, no-break space …
BLANKS = [" ", "\t", "\r", "\n", "\ufeff", "\u200b", "\xa0", "\u3000", "\u2060", "\u202e", "\x00"]


@pytest.mark.parametrize("separator", [";", "\t", "\r\n"])
def test_no_part_is_a_formula_where_another_separator_is_used(separator: str) -> None:
    for sign, blank in product(SIGNS, ["", *BLANKS]):
        text = f"Shoe{separator}{blank}{sign}1"
        [_, *cells] = re.split(r"[;\t\r\n]", _harmless(text))
        for cell in cells:
            assert not cell.strip("".join(BLANKS)).startswith(tuple(SIGNS)), repr(text)


@pytest.mark.parametrize(
    "text", ["Shoe", "T-Shirt", "A+B; C", "a@b.example", "1 = 1", "", "Größe 42;5"]
)
def test_a_text_that_is_no_formula_stays_what_it_is(text: str) -> None:
    assert _harmless(text) == text
