"""`manage.py codes`: access codes are made, imported and exported as CSV."""

import csv
import io
from pathlib import Path
from uuid import uuid4

import pytest

from accounts import access_codes, people
from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale
from orders.models import AuditEntry
from tests.operators import here, typed


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    return make_sale(entrants="code")


def rows(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out)))


def test_codes_are_made_and_printed_with_their_links(sale: Sale, make_sale: MakeSale) -> None:
    other = make_sale(entrants="code")
    words = ("--count", "3", "--shoppers", "2", "--label", "=press", "--by", "anna", "--no-input")
    ran = here("codes", "generate", sale.slug, other.slug, *words)
    assert ran.code == 0, ran.err
    made = rows(ran.out)
    assert [row["shoppers"] for row in made] == ["2"] * 3
    assert made[0]["label"] == "'=press"  # no formula of a spreadsheet
    assert made[0]["link"].endswith(f"/sales/{sale.slug}/code/?code={made[0]['code']}")
    for each in (sale, other):
        assert [row.code for row in access_codes.list_codes(each.pk)] == [
            row["code"] for row in made
        ]
    entry = AuditEntry.objects.filter(sale=sale).latest("id")
    assert (entry.actor, entry.reason) == ("anna", "3 access codes added")


def test_the_export_says_how_often_each_was_used(sale: Sale) -> None:
    opens = "2031-05-01T10:00+00:00"
    here("codes", "generate", sale.slug, "--count", "2", "--opens", opens, "--no-input")
    first = access_codes.list_codes(sale.pk)[0].code
    access_codes.redeem(first, sale.pk, new_shopper())
    ran = here("codes", "export", sale.slug)
    assert [(row["used"], row["opens_at"]) for row in rows(ran.out)] == [
        ("1", "2031-05-01 10:00:00"),
        ("0", "2031-05-01 10:00:00"),
    ]
    assert here("codes", "export", sale.slug, "--json").told[0]["used"] == 1


def test_an_export_can_be_imported_for_another_sale_of_another_shop(
    sale: Sale, tmp_path: Path
) -> None:
    number = uuid4().hex[:10]
    path = tmp_path / "codes.csv"
    path.write_text(f"\ufeffcode,label\r\nVIP{number}1,x\r\n\r\nvip{number}2,y\r\n", "utf-8")
    ran = here("codes", "import", str(path), sale.slug, "--shoppers", "5", "--no-input")
    assert (ran.code, ran.out) == (0, f"2 codes of {sale.slug}\n")
    again = here("codes", "import", str(path), sale.slug, "--no-input")
    assert again.code == 1
    assert "Nothing was imported" in again.err
    assert len(access_codes.list_codes(sale.pk)) == 2


def test_a_sale_for_anyone_gets_no_codes(make_sale: MakeSale) -> None:
    ran = here("codes", "generate", make_sale().slug, "--count", "1", "--no-input")
    assert ran.code == 1
    assert "not for people with an access code" in ran.err


def test_nothing_is_made_on_a_dry_run(sale: Sale) -> None:
    assert here("codes", "generate", sale.slug, "--count", "1", "--dry-run").code == 0
    assert access_codes.list_codes(sale.pk) == []


@pytest.mark.parametrize(
    "words",
    [
        ("generate", "x"),
        ("generate", "x", "--count", "0"),
        ("generate", "x", "--count", "1", "--opens", "soon"),
        ("import", "x"),
        ("delete", "x"),
    ],
)
def test_malformed_words_are_exit_code_2(words: tuple[str, ...]) -> None:
    assert typed("codes", *words).code == 2


@pytest.mark.parametrize("content", [b"", b"code\n", b"\xff\xfe"])
def test_a_file_without_codes_is_refused(sale: Sale, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "codes.csv"
    path.write_bytes(content)
    assert here("codes", "import", str(path), sale.slug, "--no-input").code == 2


def test_a_person_is_forgotten_on_request() -> None:
    email = f"anna-{uuid4().hex}@shop.example"
    people.sign_in(email, None)
    assert here("order", "forget", email, "--dry-run").code == 0
    ran = here("order", "forget", email, "--no-input", "--json")
    assert (ran.code, ran.told) == (0, {"forgotten": True})
    assert here("order", "forget", email, "--no-input").code == 1
