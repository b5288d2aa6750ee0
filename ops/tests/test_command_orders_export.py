"""`manage.py orders_export`: orders as CSV, safe to open in a spreadsheet, and however many."""

import csv
import io
import os
import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest

from conftest import MakeSale
from inventory.models import Sale, Variant
from inventory.products import Product
from orders import cancellation, sale_lifecycle, settlement
from orders.models import AuditEntry, Order
from orders.tests.many_orders import turn_away_very_many
from orders.tests.test_export import BLANKS, SIGNS
from tests.cast import promise_too_much, queue_up, run_caretaker
from tests.operators import here, spawned, typed
from tests.stack import DEADLINE, ROOT


def sold(sale: Sale, shoppers: int) -> list[Order]:
    queue_up(sale, shoppers)
    settlement.settle(sale.pk)
    return list(sale.orders.order_by("accepted_at", "pk"))


def exported(*words: str) -> list[dict[str, str]]:
    ran = here("orders_export", *words)
    assert ran.code == 0, ran.err
    return list(csv.DictReader(io.StringIO(ran.out, newline="")))


def renamed(sale: Sale, name: str = "", **facts: str) -> None:
    Variant.objects.filter(listings__sale=sale).update(**facts)
    Product.objects.filter(variants__sales=sale).update(name=name or "Shoe")


@pytest.fixture
def crowded(make_sale: MakeSale) -> Sale:
    """A sale that is over, in which very many were turned away."""
    return turn_away_very_many(make_sale(closes_in=-30, live=False))


def test_an_order_is_a_line_with_its_money_and_its_times(make_sale: MakeSale) -> None:
    sale = make_sale(limit=2)
    queue_up(sale, 1, quantity=2)
    settlement.settle(sale.pk)
    [row], order = exported("--sale", sale.slug), sale.orders.get()
    assert (row["order"], row["reference"], row["sale"]) == (
        str(order.pk),
        order.reference,
        sale.slug,
    )
    assert (row["unit_price_minor"], row["total_minor"]) == ("12900", "25800")
    assert (row["unit_price"], row["total"], row["currency"]) == ("129.00", "258.00", "EUR")
    assert row["accepted_at"] == f"{order.accepted_at:%Y-%m-%dT%H:%M:%S}." + (
        f"{order.accepted_at.microsecond // 1000:03}Z"
    )


def test_orders_stand_in_the_order_in_which_they_were_accepted(make_sale: MakeSale) -> None:
    sale = make_sale(stock=3)
    orders = sold(sale, 5)
    rows = exported("--sale", sale.slug)
    assert [row["order"] for row in rows] == [str(order.pk) for order in orders]


def test_a_currency_without_decimals_has_none(make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    renamed(sale, currency="JPY")
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    sold(sale, 1)
    [row] = exported("--sale", sale.slug)
    assert (row["unit_price_minor"], row["unit_price"]) == ("12900", "12900")


FORMULAS = [
    *('=HYPERLINK("https://example.com")', "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\tx"),
    *(f"{sign}1" for sign in SIGNS),
    *(f"{blank}=1" for blank in BLANKS if blank != "\x00"),
    "\ufeff \u200b\xa0=1",
]


def test_no_cell_is_a_formula(make_sale: MakeSale) -> None:
    sale = make_sale(stock=len(FORMULAS))
    for name in FORMULAS:
        renamed(sale, name=name, option=name)
        sold(sale, 1)
    rows = exported("--sale", sale.slug)
    for row, name in zip(rows, FORMULAS, strict=True):
        for shown in (row["product"], row["option"]):
            assert shown.startswith("'"), repr(name)
            assert shown.replace("'", "") == name


def test_a_spreadsheet_is_told_that_it_is_utf_8(make_sale: MakeSale) -> None:
    sale = make_sale()
    renamed(sale, name="Café-Läufer")
    sold(sale, 1)
    plain = here("orders_export", "--sale", sale.slug).out
    assert here("orders_export", "--sale", sale.slug, "--excel").out == f"\ufeff{plain}"
    assert plain.startswith("order,")


def test_an_order_that_was_not_cancelled_has_no_cancellation(make_sale: MakeSale) -> None:
    sale = make_sale()
    sold(sale, 1)
    [row] = exported("--sale", sale.slug)
    assert row["cancelled_at"] == row["cancelled_by"] == row["cancel_reason"] == ""


def test_a_cancelled_order_says_when_by_whom_and_why(make_sale: MakeSale) -> None:
    sale = make_sale()
    Sale.objects.filter(pk=sale.pk).update(time_zone="Asia/Kathmandu")
    [order] = sold(sale, 1)
    cancellation.cancel_order(order.pk, by="anna", reason="=paid twice")
    [row] = exported("--sale", sale.slug)
    at = AuditEntry.objects.get(order=order.pk).at.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert (row["status"], row["cancelled_by"], row["cancel_reason"]) == (
        *("cancelled", "anna"),
        "'=paid twice",
    )
    assert row["cancelled_at"] == at.isoformat(timespec="milliseconds")


def test_commas_quotes_and_letters_of_all_kinds_stay_what_they_are(make_sale: MakeSale) -> None:
    sale, name = make_sale(), 'Schuh, "rot"\n靴'
    renamed(sale, name=name)
    sold(sale, 1)
    ran = spawned("orders_export", "--sale", sale.slug, LC_ALL="C", PYTHONIOENCODING="ascii")
    [row] = csv.DictReader(io.StringIO(ran.out, newline=""))
    assert row["product"] == name


def test_orders_are_chosen_by_status(make_sale: MakeSale) -> None:
    sale = make_sale(stock=2)
    promise_too_much(sale, 4)
    sold(sale, 4)
    cancellation.cancel_order(sale.orders.filter(status="confirmed")[0].pk, by="staff")
    rows = exported("--sale", sale.slug, "--status", "cancelled", "rejected")
    assert sorted(row["status"] for row in rows) == ["cancelled", "rejected", "rejected"]


def test_orders_are_chosen_by_when_they_were_accepted(make_sale: MakeSale) -> None:
    sale = make_sale()
    sold(sale, 2)
    [*_, last] = sold(sale, 2)
    since = exported("--sale", sale.slug, "--since", last.accepted_at.isoformat())
    until = exported("--sale", sale.slug, "--until", last.accepted_at.isoformat())
    assert str(last.pk) in {row["order"] for row in since}
    assert str(last.pk) not in {row["order"] for row in until}
    assert len(since) + len(until) == 4


@pytest.mark.parametrize("words", [("--status", "sold"), ("--since", "yesterday")])
def test_malformed_words_are_exit_code_2(words: tuple[str, ...]) -> None:
    ran = typed("orders_export", *words)
    assert (ran.code, ran.out) == (2, "")


def test_only_orders_are_written_to_the_output(make_sale: MakeSale) -> None:
    sale = make_sale()
    sold(sale, 1)
    ran = typed("orders_export", "--sale", sale.slug, "--since", "2001-01-01")
    assert (ran.code, ran.out.count("\n")) == (0, 2)
    assert ran.err == "Times without an offset are read in UTC.\n1 orders.\n"


def test_a_reader_who_has_seen_enough_ends_it_quietly(make_sale: MakeSale) -> None:
    crowded = turn_away_very_many(make_sale(closes_in=-30, live=False), 5_000)  # no pipe holds them
    command = [sys.executable, "manage.py", "orders_export", "--sale", crowded.slug]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as export:
        assert export.stdout
        assert export.stderr
        assert export.stdout.readline().startswith(b"order,reference,")
        export.stdout.close()
        assert (export.stderr.read(), export.wait(DEADLINE)) == (b"", 141)


@pytest.mark.deep
def test_many_orders_need_no_more_memory_than_few(crowded: Sale) -> None:
    few = peak_memory("--sale", crowded.slug, "--status", "confirmed")
    many = peak_memory("--sale", crowded.slug)
    assert many - few < 12 << 20


def peak_memory(*words: str) -> int:
    """Bytes that the command had in memory at most."""
    command = [sys.executable, "manage.py", "orders_export", *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
