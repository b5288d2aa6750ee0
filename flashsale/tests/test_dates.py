"""Moments are written as the reader's language writes them, in the time zone of the sale."""

from datetime import UTC, datetime

import pytest
from django.template import Context, Template
from django.utils import translation

from flashsale.templatetags.dates import moment_in_words

MOMENT = datetime(2026, 11, 25, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "25 November 2026, 13:30"),
        ("de", "25. November 2026, 13:30 Uhr"),
        ("fr", "25 novembre 2026, 13:30"),
        (None, "25 November 2026, 13:30"),
    ],
)
def test_a_moment_reads_as_its_reader_writes_it(language: str | None, text: str) -> None:
    with translation.override(language):
        assert moment_in_words(MOMENT) == text


def test_a_moment_is_told_in_the_time_zone_of_the_sale() -> None:
    page = Template(
        "{% load dates tz %}{% timezone 'Asia/Tokyo' %}{{ at|moment_in_words }}{% endtimezone %}"
    )
    assert page.render(Context({"at": MOMENT})) == "25 November 2026, 22:30"


def test_where_there_is_no_moment_nothing_is_told() -> None:
    assert moment_in_words(None) == ""
