"""What people type is kept in one normal form, without what cannot be seen, and reorders nothing."""

import pytest
from django.core.exceptions import ValidationError

from flashsale.characters import clean_line, clean_text, find_hidden, isolate, join_isolated

ARABIC = "\u0645\u0631\u062d\u0628\u0627"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "typed",
    [
        "Caf\u00e9 runner",
        "Cafe\u0301 runner",
        "  Caf\u00e9 \u00a0\u3000 runner\n",
        "Caf\u00e9\trunner",
        "\ufeff\u202eCaf\u00e9 runner\u202c\u200b",
    ],
)
def test_a_name_is_the_same_however_it_was_typed_or_copied(typed: str) -> None:
    assert clean_line(typed) == "Caf\u00e9 runner"


def test_a_text_keeps_its_lines_and_blanks() -> None:
    assert (
        clean_text("\ufeffCafe\u0301:\r\n  12\u00a0mm\t|\rend \n")
        == "Caf\u00e9:\n  12\u00a0mm\t|\nend"
    )


@pytest.mark.parametrize(
    ("hidden", "called"),
    [
        ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u2066", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        ("\u200f", "U+200F RIGHT-TO-LEFT MARK"),
        ("\u061c", "U+061C ARABIC LETTER MARK"),
        ("\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\u200d", "U+200D ZERO WIDTH JOINER"),
        ("\u00ad", "U+00AD SOFT HYPHEN"),
        ("\u034f", "U+034F COMBINING GRAPHEME JOINER"),
        ("\u115f", "U+115F HANGUL CHOSEONG FILLER"),
        ("\u3164", "U+3164 HANGUL FILLER"),
        ("\u2800", "U+2800 BRAILLE PATTERN BLANK"),
        ("\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("\ufeff", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\U000e0067", "U+E0067 TAG LATIN SMALL LETTER G"),
        ("\u2028", "U+2028 LINE SEPARATOR"),
        ("\u2029", "U+2029 PARAGRAPH SEPARATOR"),
        ("\x00", "U+0000 (a control character)"),
        ("\x1b", "U+001B (a control character)"),
        ("\x85", "U+0085 (a control character)"),
        ("\ud83d", "U+D83D (half of a surrogate pair)"),
        ("\ue000", "U+E000 (a private character)"),
        ("\u0378", "U+0378 (not assigned)"),
        ("\U0002fffe", "U+2FFFE (not assigned)"),
    ],
)
def test_a_hidden_character_is_refused_by_its_name(hidden: str, called: str) -> None:
    for clean in (clean_line, clean_text):
        with pytest.raises(ValidationError) as refusal:
            clean(f"Run{hidden}ner")
        assert called in refusal.value.message


@pytest.mark.parametrize(
    "name",
    [
        ARABIC,
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala, with a joiner
        "\u845b\U000e0100",  # Han, in one of its shapes
        FAMILY,
        ENGLAND,
        "\u2764\ufe0f\u200d\U0001f525",  # a heart on fire
        "1\ufe0f\u20e3",
        "\U0001fae9",  # newer than Python 3.11's tables
    ],
    ids=ascii,
)
def test_a_name_may_have_what_its_script_or_its_emoji_need(name: str) -> None:
    assert clean_line(name) == name


@pytest.mark.parametrize("nothing", ["", " ", "\u00a0\u3000", "\u200b\ufeff", "\u202e"])
def test_a_name_of_blanks_alone_is_empty(nothing: str) -> None:
    assert clean_line(nothing) == ""


@pytest.mark.parametrize("mark", ["\u0301", "\u0334", "\u20dd", "\u0e47"])
def test_a_pile_of_marks_is_refused(mark: str) -> None:
    assert clean_line(f"Z{mark * 5}o")
    for clean in (clean_line, clean_text):
        with pytest.raises(ValidationError, match="cover the text around it: U"):
            clean(f"Runner Z{mark * 9}")


@pytest.mark.parametrize(
    "name", ["\u0f67" + "\u0fb1" * 7, "\u1019\u103c\u103d\u103e\u102d\u102f\u1037"]
)
def test_scripts_with_many_marks_are_taken(name: str) -> None:  # Tibetan, Myanmar
    assert clean_line(name) == name


def test_an_accent_alone_is_no_name() -> None:
    with pytest.raises(ValidationError, match="nothing in it that can be seen"):
        clean_line("\u0301")


def test_each_hidden_character_is_found_once() -> None:
    assert find_hidden("a\u202eb\u200bc\u202ed\ne") == ["\u202e", "\u200b"]


# --- Beside other text -------------------------------------------------------------------------


def test_a_name_from_right_to_left_is_isolated() -> None:
    assert isolate(ARABIC) == f"\u2068{ARABIC}\u2069"
    assert join_isolated(ARABIC, "42 - 43", "") == f"\u2068{ARABIC}\u2069 42 - 43"


def test_other_names_get_no_marks() -> None:
    assert isolate("Caf\u00e9 \u65e5\u672c") == "Caf\u00e9 \u65e5\u672c"


@pytest.mark.parametrize("reaching", ["\u202eRun", "Run\u2067", "\u2069Run", "Run\u200f"])
def test_no_mark_of_an_old_name_reaches_out_of_it(reaching: str) -> None:
    assert isolate(reaching) == "Run"
    assert isolate(f"{reaching}{ARABIC}").count("\u2069") == sum(
        isolate(f"{reaching}{ARABIC}").count(mark) for mark in "\u2066\u2067\u2068"
    )


def test_what_is_isolated_already_stays_so_within_a_sentence() -> None:
    variant = join_isolated(ARABIC, "42 - 43")
    assert isolate(variant) == f"\u2068{variant}\u2069"
