"""Text that people type: one normal form, no hidden characters, no influence on the text around it.

Unicode has characters that cannot be seen, or that turn the direction of what follows. They come with
copied text, or on purpose: two names look equal and are not, or a name reorders the sentence around it.
"""

import re
import unicodedata

from django.core.exceptions import ValidationError

_SPACE = r" \t\n\r\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_SPACES = re.compile(f"[{_SPACE}]+")
_DIRECTION = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# At both ends these are dropped like blanks: they come with text that is copied from elsewhere.
_END = rf"[{_SPACE}{_DIRECTION}\u00ad\u200b\u2060\ufeff]+"
_ENDS = re.compile(rf"\A{_END}|{_END}\Z")

# Hidden characters that some texts need, each only where it has an effect.
_JOINING = r"[\u0600-\u0dff\u1000-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc]"  # Arabic, Indic …
_VIRAMA = r"[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca]"
_EMOJI = r"\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001fbff"
_HAN = r"\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003fffd"
_NEEDED = re.compile(
    "|".join(
        (
            rf"(?<={_JOINING})[\u200c\u200d](?={_JOINING})",
            rf"(?<={_VIRAMA})\u200d",
            rf"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])",
            rf"(?<=[{_EMOJI}0-9#*])[\ufe0e\ufe0f]",
            rf"(?<=[{_HAN}])[\ufe00-\ufe02\U000e0100-\U000e01ef]",
            r"(?<=[\u1820-\u18aa])(?:[\u180b-\u180d\u180f]|\u180e(?=[\u1820-\u18aa]))",
            # The flags of England, Scotland and Wales.
            r"(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f",
        )
    )
)

_KINDS = {
    "Cc": "a control character",
    "Cf": "a format character",
    "Cs": "half of a surrogate pair",
    "Co": "a private character",
    "Cn": "not assigned",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
# Their kind is hidden, they are not: signs above or below Arabic, Syriac and Kaithi digits.
_SEEN = re.compile(r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
# Their kind is not hidden, they are: fillers, blanks and variation selectors.
_UNSEEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc"
    r"\U0001d159\U000e0100-\U000e01ef]"
)
# Marks above or below one letter: more would cover the lines around it. Myanmar needs five.
_MOST_MARKS = 6
# Unicode adds emoji and Han here every year; Python's tables are some years older.
_GROWING = re.compile(r"[\U0001f000-\U0001faff\U00020000-\U0003fffd]")


def clean_line(text: str) -> str:
    """Normalise a name to NFC, with single blanks and none at the ends.

    Raises ValidationError with the hidden characters, or if nothing can be seen.
    """
    line = _SPACES.sub(" ", _ENDS.sub("", unicodedata.normalize("NFC", text)))
    _refuse_hidden(line)
    return line


def clean_text(text: str) -> str:
    """Like `clean_line`, for a text of several lines, which keeps its line breaks and blanks."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    body = _ENDS.sub("", lines)
    _refuse_hidden(body)
    return body


def find_hidden(text: str) -> list[str]:
    """The distinct hidden characters of a text, except line breaks, tabs, and those that its script or
    its emoji need."""
    visible = re.sub(r"[\n\r\t]", " ", _NEEDED.sub("", text))
    return [char for char in dict.fromkeys(visible) if _is_hidden(char)]


def describe(char: str) -> str:
    """`U+202E RIGHT-TO-LEFT OVERRIDE`; characters without a name are described by their kind."""
    kind = _KINDS.get(unicodedata.category(char), "unnamed")
    return f"U+{ord(char):04X} {unicodedata.name(char, f'({kind})')}"


def _refuse_hidden(text: str) -> None:
    if hidden := find_hidden(text):
        named = ", ".join(map(describe, hidden[:5]))
        raise ValidationError(f"This cannot be seen, or changes the text around it: {named}.")
    if piled := _find_pile(text):
        raise ValidationError(
            f"More than {_MOST_MARKS} marks on one letter cover the text around it: {describe(piled)}."
        )
    if text and all(unicodedata.category(char)[0] in "MZ" for char in text):  # marks, blanks
        raise ValidationError("There is nothing in it that can be seen.")


def _find_pile(text: str) -> str:
    """The last of too many marks on one letter; an empty string if there is no such letter. Tibetan
    letters below each other count as marks, and are none."""
    marks = 0
    for char in unicodedata.normalize("NFD", text):
        is_mark = unicodedata.category(char) in ("Mn", "Me") and not "\u0f00" <= char <= "\u0fff"
        marks = marks + 1 if is_mark else 0
        if marks > _MOST_MARKS:
            return char
    return ""


def _is_hidden(char: str) -> bool:
    if unicodedata.category(char) == "Cn" and _GROWING.match(char):
        return ord(char) & 0xFFFE == 0xFFFE  # no character, now or ever
    return bool(_UNSEEN.match(char)) or (
        unicodedata.category(char) in _KINDS and not _SEEN.match(char)
    )


# --- Beside other text ---------------------------------------------------------------------------

_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_TURNS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e]")
_ISOLATES = re.compile(r"[\u2066-\u2069]")
_RIGHT_TO_LEFT = frozenset(("R", "AL", "AN"))


def isolate(text: str) -> str:
    """Make a name safe to put beside other plain text: its direction stays its own (UAX #9).

    A name without letters from right to left needs no marks, and gets none: most terminals and logs
    show them. Pages use `<bdi>`.
    """
    text = _TURNS.sub("", text)
    if not any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text):
        return _ISOLATES.sub("", text)
    return f"{_FIRST_STRONG_ISOLATE}{_balance(text)}{_POP_ISOLATE}"


def join_isolated(*parts: str) -> str:
    """Join the parts that are not empty by blanks, each isolated."""
    return " ".join(isolate(part) for part in parts if part)


def _balance(text: str) -> str:
    """Drop ends of isolates that were not begun, and end those that were: none reaches out."""
    kept, depth = [], 0
    for char in text:
        if char == _POP_ISOLATE and depth == 0:
            continue
        if _ISOLATES.match(char):
            depth += -1 if char == _POP_ISOLATE else 1
        kept.append(char)
    return "".join(kept) + _POP_ISOLATE * depth
