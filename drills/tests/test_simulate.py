"""`simulate` sends a crowd into a running shop; its exit code is the verdict."""

import signal
import subprocess
import sys
import time

import pytest
from django.db import connection

from conftest import MakeSale
from drills.crowd import Crowd
from drills.shopper_log import Log, Reply
from drills.tests.conftest import faults_of, report_of, simulate_here
from ops.base_command import UsageError
from orders import reconciliation
from tests import deadlines, stack
from tests.operators import typed

CLOSED_PORT = "http://127.0.0.1:9"


def start(url: str, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "simulate", "--url", url, *options],
        cwd=stack.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def simulate(url: str, *options: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    ran = typed("simulate", "--url", url, *options)
    return ran.code, ran.out, ran.err


@pytest.mark.deep
def test_a_crowd_buys_the_stock_and_everything_agrees(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock={"shoe": 10, "bag": 5}, limit=2)
    options = ("--sale", sale.slug, "--shoppers", "40", "--seconds", "3", "--seed", "5")
    code, out, err = simulate(url, *options, "--no-input", "--json")
    report = report_of(out)
    assert faults_of(report) == {}
    assert (code, err) == (0, "")
    assert report["consistent"]
    assert report["verify"]["balanced"]
    assert sum(report["shoppers"].values()) == 40
    assert report["purchases"]["unanswered"] == 0
    confirmed = sale.orders.filter(status="confirmed").count()
    assert report["purchases"]["final"]["confirmed"] == confirmed
    assert list(sale.variants.values_list("stock", flat=True)) == [0, 0]
    assert report["clicks"]["409 sold_out"] > 0
    assert report["sockets"]["opened"] == 32
    times = report["milliseconds"]["click_to_outcome_socket"]
    assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["max"] < 30_000


def test_the_report_is_readable_text(url: str, make_sale: MakeSale) -> None:
    sale = make_sale()
    options = ("--sale", sale.slug, "--shoppers", "5", "--seconds", "1", "--no-input")
    code, out, _ = simulate(url, *options)
    assert code == 0
    for words in (sale.slug, "shoppers   5", "202 queued", "click to answer", "\nCONSISTENT"):
        assert words in out
    assert "NOT" not in out


def test_an_unreachable_server_fails_soon(make_sale: MakeSale) -> None:
    sale = make_sale()
    began = time.monotonic()
    code, _, err = simulate(CLOSED_PORT, "--sale", sale.slug, "--shoppers", "3", "--no-input")
    assert code == 1
    assert "shows no page: " in err
    assert time.monotonic() - began < deadlines.seconds(20)


def test_a_shop_with_another_key_is_refused(make_sale: MakeSale) -> None:
    sale = make_sale()
    with stack.Web.running(SECRET_KEY="another-" + "y" * 40) as web:
        code, _, err = simulate(web.url, "--sale", sale.slug, "--shoppers", "3", "--no-input")
    assert code == 1
    assert "another key" in err
    assert sale.orders.count() == 0


@pytest.mark.parametrize(
    "address", ["http://example.com", "http://192.0.2.1:8000", "http://[2001:db8::1]"]
)
def test_the_shop_of_another_host_is_not_visited(address: str, make_sale: MakeSale) -> None:
    code, _, err = simulate(address, "--sale", make_sale().slug, "--shoppers", "3", "--no-input")
    assert code == 2
    assert "ALLOWED_HOSTS" in err


def test_a_wildcard_in_allowed_hosts_names_no_host(
    make_sale: MakeSale, settings: pytest.FixtureRequest
) -> None:
    settings.ALLOWED_HOSTS = ["*"]  # type: ignore[attr-defined]  # pytest-django's
    with pytest.raises(UsageError):
        simulate_here(make_sale(), "--url", "http://example.com")


def test_of_several_open_sales_one_must_be_named(url: str, make_sale: MakeSale) -> None:
    one, other = make_sale(), make_sale()
    code, _, err = simulate(url, "--shoppers", "3", "--no-input")
    assert code == 2
    assert one.slug in err
    assert other.slug in err


@pytest.mark.parametrize("options", [("--shoppers", "0"), ("--shoppers", "3", "--seconds", "0")])
def test_invalid_numbers_are_refused(options: tuple[str, ...]) -> None:
    assert simulate(CLOSED_PORT, *options)[0] == 2


def test_simulate_asks_before_it_buys(url: str, make_sale: MakeSale) -> None:
    sale = make_sale()
    code, _, err = simulate(url, "--sale", sale.slug, "--shoppers", "3")
    assert code == 2
    assert f"buy REAL units of {sale.slug}" in err
    code, out, err = simulate(url, "--sale", sale.slug, "--shoppers", "3", "--dry-run")
    assert (code, out) == (0, "")
    assert f"buy REAL units of {sale.slug}" in err
    assert sale.orders.count() == 0


@pytest.mark.deep
def test_an_interrupted_crowd_waits_for_its_answers_and_reports(
    url: str, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=100)
    options = ("--sale", sale.slug, "--shoppers", "10", "--seconds", "60", "--no-input", "--json")
    process = start(url, *options)
    stack.wait_for(lambda: sale.orders.exists(), "the first order")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=deadlines.seconds(40))
    report = report_of(out)
    assert faults_of(report) == {}
    assert process.returncode == 130
    assert (report["interrupted"], report["consistent"]) == (True, True)
    assert report["purchases"]["accepted"] == sale.orders.count()


def test_an_acceptance_that_became_no_order_is_inconsistent(
    url: str, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = "0" * 8 + "-0000-8000-8000-" + "0" * 12
    log = Log("patient", pages=[0.1])
    log.record_reply(Reply(lost, 1.0, 0.1, 202, "queued", purchase=lost))
    monkeypatch.setattr(Crowd, "shop", lambda crowd, say: [log])
    code, report = simulate_here(make_sale(), "--url", url)
    assert code == 3
    assert report["faults"]["unanswered"]["first"] == [{"purchase": lost, "habit": "patient"}]
    assert report["verify"]["balanced"]


def test_stock_that_differs_from_the_ledger_is_inconsistent(
    url: str, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "_PATIENCE", 0.3)
    sale = make_sale()
    variant = sale.variants.get().pk
    move = "UPDATE inventory_product SET stock = stock + %s WHERE id = %s"
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE inventory_product DISABLE TRIGGER USER")
        cursor.execute(move, [1, variant])
        try:
            code, report = simulate_here(sale, "--url", url)
        finally:
            cursor.execute(move, [-1, variant])
            cursor.execute("ALTER TABLE inventory_product ENABLE TRIGGER USER")
    assert code == 3
    assert "stock_is_not_the_ledger" in report["verify"]["faults"]
    assert report["faults"] == {}
