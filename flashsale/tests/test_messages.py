"""Translations are complete and current, and texts are found as pages look them up."""

from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.pofile import read_po, write_po
from django.template import Context, Template
from django.utils import translation
from pytest_django import Settings

from tools import messages

PAGE = "templates/storefront/page.html"
GERMAN = "flashsale/locale/de/LC_MESSAGES"


def test_every_language_of_the_shop_but_its_own_is_translated(settings: Settings) -> None:
    assert {code for code, _ in settings.LANGUAGES} == {settings.LANGUAGE_CODE, *messages.LANGUAGES}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A shop with one text, which is translated."""
    write(tmp_path, PAGE, "<p>{% trans 'Sold out' %}</p>")
    messages.main(tmp_path)
    translate(tmp_path)
    return tmp_path


def write(shop: Path, name: str, text: str) -> None:
    (shop / name).parent.mkdir(parents=True, exist_ok=True)
    (shop / name).write_text(text)


def translate(shop: Path, form: str = "[{}]") -> None:
    """Gives each text a translation that shows which text was asked for."""
    catalog = read_po(BytesIO(po(shop).encode()))
    for text in list(catalog)[1:]:
        text.string = (
            tuple(map(form.format, text.id)) if text.pluralizable else form.format(text.id)
        )
    with (shop / GERMAN / "django.po").open("wb") as file:
        write_po(file, catalog)
    messages.main(shop)


def po(shop: Path) -> str:
    return (shop / GERMAN / "django.po").read_text()


def test_every_text_of_this_shop_is_translated(capsys: pytest.CaptureFixture[str]) -> None:
    assert messages.main(check=True) == 0, capsys.readouterr().out


def test_a_new_text_is_noticed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert messages.main(shop, check=True) == 0
    before = po(shop)
    write(shop, "templates/base.html", "{% trans 'Brand new' %}")
    assert messages.main(shop, check=True) == 1
    said = capsys.readouterr().out
    assert "django.po is out of date" in said
    assert "not translated: 'Brand new'" in said
    assert po(shop) == before


def test_translations_that_were_not_compiled_are_noticed(shop: Path) -> None:
    compiled = shop / GERMAN / "django.mo"
    compiled.write_bytes(compiled.read_bytes().replace(b"[Sold out]", b"[Gone out]"))
    assert messages.main(shop, check=True) == 1
    messages.main(shop)
    assert b"[Sold out]" in compiled.read_bytes()
    assert messages.main(shop, check=True) == 0


def test_a_text_that_moves_changes_no_file(shop: Path) -> None:
    before = po(shop)
    write(shop, PAGE, "\n\n<main>\n  <p>{% trans 'Sold out' %}</p>\n</main>")
    assert messages.main(shop, check=True) == 0
    assert messages.main(shop) == 0
    assert po(shop) == before


def test_a_text_that_changes_loses_its_translation_instead_of_keeping_a_wrong_one(
    shop: Path,
) -> None:
    write(shop, PAGE, "{% trans 'Sold out!' %}")
    assert messages.main(shop) == 1
    assert 'msgid "Sold out!"\nmsgstr ""' in po(shop)
    assert "[Sold out]" not in po(shop)
    assert "fuzzy" not in po(shop)


@pytest.mark.parametrize("form", ["nothing", "{} and %(colour)s"])
def test_a_translation_with_other_placeholders_is_refused(
    form: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(shop, PAGE, "{% blocktrans %}Hello {{ name }}{% endblocktrans %}")
    messages.main(shop)
    translate(shop, form)
    assert messages.main(shop, check=True) == 1
    assert "other placeholders: 'Hello %(name)s'" in capsys.readouterr().out


def test_texts_of_modules_are_translated_and_those_of_staff_are_not(shop: Path) -> None:
    write(shop, "orders/words.py", "REASON = gettext_lazy('Too late')")
    write(shop, "dashboard/words.py", "TITLE = gettext_lazy('Controls')")
    write(shop, "templates/dashboard/page.html", "{% trans 'Alarms' %}")
    messages.main(shop)
    assert "Too late" in po(shop)
    assert "Controls" not in po(shop)
    assert "Alarms" not in po(shop)


TEXTS = {
    "{% trans 'Sold out' %}": "[Sold out]",
    "{% trans '100% wool' %}": "[100% wool]",
    "{% trans 'May' context 'month' %}": "[May]",
    '{% trans "Don\'t" as word %}{{ word }}': "[Don't]",
    "{{ _('Total') }}": "[Total]",
    "{% with word=_('Size') %}{{ word }}{% endwith %}": "[Size]",
    "{{ nothing|default:_('None') }}": "[None]",
    "{% blocktrans %}5% off {{ name }}{% endblocktrans %}": "[5% off Shoe]",
    "{% blocktrans with n=name|upper context 'a' %}For {{ n }}{% endblocktrans %}": "[For SHOE]",
    "{% blocktrans trimmed %}\n  Two\n    lines\n{% endblocktrans %}": "[Two lines]",
    "{% blocktrans count n=1 %}{{ n }} pair{% plural %}{{ n }} pairs{% endblocktrans %}": "[1 pair]",
    "{% blocktrans count n=2 %}{{ n }} pair{% plural %}{{ n }} pairs{% endblocktrans %}": "[2 pairs]",
    "{% blocktrans count n=2 context 'b' trimmed %}\n One\n{% plural %} All{% endblocktrans %}": "[All]",
    "<p>\n    “(\n  {% trans 'Größe' %}\n\t$'\n": "<p>\n    “(\n  [Größe]\n\t$'\n",
}


@pytest.mark.parametrize("source", TEXTS)
def test_a_text_is_collected_as_the_page_looks_it_up(
    source: str, shop: Path, settings: Settings
) -> None:
    write(shop, PAGE, source)
    messages.main(shop)
    translate(shop)
    settings.LOCALE_PATHS = [shop / "flashsale" / "locale"]
    with translation.override("de"):
        page = Template("{% load i18n %}" + source).render(Context({"name": "Shoe"}))
    assert page == TEXTS[source]
