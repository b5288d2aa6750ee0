"""Updates the translations of the shopper's pages: run `python tools/messages.py` after a text has changed.

It collects the texts of templates and modules, updates the `django.po` of each language and compiles it to
the `django.mo` that Django reads. With `--check` it writes nothing. It exits with 1 if a translation is
missing or out of date. It uses Babel, since few machines have GNU gettext.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import TRANSLATOR_COMMENT_MARK, templatize

ROOT = Path(__file__).resolve().parent.parent

# Texts of admin, dashboard and commands are not collected: staff read English.
SHOPPERS_TEXTS = (
    "templates/*.html",
    "templates/storefront/**/*.html",
    "templates/payments/**/*.html",
    "templates/mail/*",
    "mail/*.py",
    "storefront/*.py",
    "storefront/templatetags/*.py",
    "flashsale/*.py",
    "flashsale/templatetags/*.py",
    "inventory/*.py",
    "orders/*.py",
)
LANGUAGES = ("de",)

_KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
_PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]")


class Translation(Catalog):
    """A catalogue that changes only when a text does: without dates and tools' versions."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return [
            ("Language", str(self.locale)),
            ("Plural-Forms", self.plural_forms),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit\n"),
        ]


def main(root: Path = ROOT, *, check: bool = False) -> int:
    """Update the files below `root`, or with `check` only report stale ones. Return the exit code."""
    collected = collect(root)
    wrong: list[str] = []
    for language in LANGUAGES:
        folder = root / "flashsale" / "locale" / language / "LC_MESSAGES"
        translation = translate(collected, folder / "django.po", language)
        stale = {
            path: text for path, text in render_files(translation, folder) if _read(path) != text
        }
        if check:
            wrong += [f"{path.relative_to(root)} is out of date" for path in stale]
        else:
            _write(stale)
        wrong += [f"{language}: {fault}" for fault in find_faults(translation)]
    print("\n".join(wrong) or "All texts are translated.")
    if wrong and check:
        print("Run `python tools/messages.py` and translate what it names.")
    return 1 if wrong else 0


def collect(root: Path) -> Catalog:
    """Collect all texts, in the form in which Django looks them up."""
    collected = Catalog()
    for path in sorted({path for pattern in SHOPPERS_TEXTS for path in root.glob(pattern)}):
        source = _as_python(path)
        for line, text, comments, context in extract(
            "python", BytesIO(source.encode()), _KEYWORDS, [TRANSLATOR_COMMENT_MARK]
        ):
            location = [(path.relative_to(root).as_posix(), line)]
            collected.add(text, locations=location, auto_comments=comments, context=context)
    return collected


def _as_python(path: Path) -> str:
    source = path.read_text()
    if path.suffix == ".py":
        return source
    # Python's tokenizer fails on the indentation of HTML.
    return "\n".join(line.strip() for line in templatize(source).splitlines())


def translate(collected: Catalog, known: Path, language: str) -> Translation:
    """Combine the texts with their `known` translations. Do not guess from similar texts, and drop unused
    translations: the history has them."""
    before = Catalog()
    if known.exists():
        with known.open("rb") as file:
            before = read_po(file, locale=language, abort_invalid=True)
    translation = Translation(language, header_comment="# Texts of the shop.", fuzzy=False)
    for text in collected:
        if text.id:
            _copy_translation(translation, text, before.get(text.id, text.context))
    return translation


def _copy_translation(translation: Translation, text: Message, before: Message | None) -> None:
    same = before is not None and before.pluralizable == text.pluralizable and not before.fuzzy
    translation.add(
        text.id,
        before.string if before and same else "",
        locations=text.locations,
        auto_comments=text.auto_comments,
        user_comments=before.user_comments if before else (),
        context=text.context,
    )


def render_files(translation: Translation, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The contents of the two files of a language."""
    source, compiled = BytesIO(), BytesIO()
    write_po(source, translation, width=100, sort_output=True, include_lineno=False)
    write_mo(compiled, translation)
    yield folder / "django.po", source.getvalue().rstrip() + b"\n"
    yield folder / "django.mo", compiled.getvalue()


def find_faults(translation: Translation) -> Iterator[str]:
    """Find texts without a translation, or whose translation has other placeholders."""
    for text in translation:
        if not text.id:
            continue
        ids, strings = _forms(text.id), _forms(text.string or "")
        allowed = [set(_PLACEHOLDER.findall(form)) for form in ids]
        if not all(strings):
            yield f"not translated: {ids[0]!r}"
        elif any(set(_PLACEHOLDER.findall(form)) not in allowed for form in strings):
            yield f"other placeholders: {ids[0]!r}"


def _forms(text: str | tuple[str, ...] | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _write(contents: dict[Path, bytes]) -> None:
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    sys.exit(main(check=parser.parse_args().check))
