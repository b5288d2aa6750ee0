"""Simulated shoppers go through the checkout of what is held for them; the report counts the money."""

import pytest
from django.db import connection

from conftest import MakeSale
from drills.checkout_report import settle_checkouts
from drills.crowd import Crowd
from drills.payers import HABITS, PayersLog
from drills.tests.conftest import faults_of, report_of, simulate_here
from inventory.models import Sale
from orders import sale_lifecycle
from payments.models import DemoPayment
from payments.tests.cast import attempt_of, begin, held, play, reconcile
from tests.cast import run_caretaker
from tests.operators import typed

EVERY_HABIT = ",".join(f"{habit}=1" for habit in HABITS if habit != "slow")


@pytest.fixture(autouse=True)
def no_payments_of_other_tests() -> None:
    """A payment that the shop does not know is a fault, and tests of the provider alone leave some."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM payments_demopayment"
            " WHERE substr(key, 1, 36) NOT IN (SELECT id::text FROM payments_attempt)"
        )


def with_checkout(make_sale: MakeSale, *, payment: str = "demo", stock: int = 30) -> Sale:
    sale = make_sale(stock=stock, hold=10, live=False)
    Sale.objects.filter(pk=sale.pk).update(ask="address", payment=payment, terms="Be kind.")
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    sale.refresh_from_db()
    return sale


def simulate(url: str, sale: Sale, *options: str) -> tuple[int, str, str]:
    small = ("--url", url, "--sale", sale.slug, "--seconds", "2", "--seed", "7", "--no-input")
    ran = typed("simulate", *small, *options)
    return ran.code, ran.out, ran.err


@pytest.mark.deep
def test_a_crowd_pays_in_every_way_and_the_money_is_that_of_the_orders(
    url: str, make_sale: MakeSale
) -> None:
    sale = with_checkout(make_sale)
    code, out, err = simulate(url, sale, "--shoppers", "20", "--paying", EVERY_HABIT, "--json")
    report = report_of(out)
    assert faults_of(report) == {}
    assert (code, err) == (0, "")
    money = report["checkout"]
    assert set(money["habits"]) == set(HABITS) - {"slow"}
    assert money["given_back"] == money["habits"]["gives-back"]
    paid = sum(money["habits"][habit] for habit in ("pays", "declines", "twice", "vanishes"))
    assert money["orders"]["confirmed"] == paid == sale.orders.filter(status="confirmed").count()
    # The second payment of those who paid twice is voided.
    assert money["payments"]["captured"] == paid
    assert money["payments"]["voided"] == money["habits"]["twice"]
    assert money["captured"] - money["refunded"] == money["total_of_confirmed"] > 0
    assert money["milliseconds"]["checkout: details sent"]["p99"] > 0


def test_a_payment_that_the_shop_has_not_heard_of_is_waited_for(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shopper pays and never comes back: the shop learns it from an event, or when it asks."""
    sale = with_checkout(make_sale)
    [order] = held(sale)
    begin(order)
    play(attempt_of(order), "pay")
    monkeypatch.setattr("drills.checkout_report.time.sleep", lambda seconds: reconcile())
    report = settle_checkouts(sale, PayersLog(), 60)
    assert list(report.faults) == []
    assert report.as_json()["orders"] == {"confirmed": 1}


def test_the_report_names_what_became_of_the_holds(url: str, make_sale: MakeSale) -> None:
    code, out, _ = simulate(url, with_checkout(make_sale), "--shoppers", "3", "--paying", "pays=1")
    assert code == 0, out
    for words in (
        "payers     3: pays 3",
        "confirmed 3",
        "captured 3",
        "\nPayments and orders agree",
    ):
        assert words in out


def test_a_sale_without_payment_is_confirmed_at_its_checkout(url: str, make_sale: MakeSale) -> None:
    sale = with_checkout(make_sale, payment="")
    code, out, _ = simulate(url, sale, "--shoppers", "3", "--paying", "pays=1")
    assert code == 0, out
    assert sale.orders.filter(status="confirmed").count() == 3
    assert "\nmoney" not in out


def test_money_that_no_order_explains_is_inconsistent(
    url: str, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steal(crowd: Crowd, say: object) -> list[object]:
        key, price = "0" * 36, {"amount": 500, "captured": 500, "currency": "EUR"}
        DemoPayment.objects.create(key=key, state="captured", back="http://x/", **price)
        return []

    monkeypatch.setattr(Crowd, "shop", steal)
    monkeypatch.setattr("drills.report.Report.reached", True)
    try:
        code, report = simulate_here(with_checkout(make_sale), "--url", url)
    finally:
        DemoPayment.objects.filter(key="0" * 36).delete()
    assert code == 3
    assert set(report["checkout"]["faults"]) == {"money_is_not_the_orders", "payment_of_no_order"}


def test_shares_are_refused_where_nothing_is_held(url: str, make_sale: MakeSale) -> None:
    code, _, err = simulate(url, make_sale(), "--shoppers", "3", "--paying", "pays=1")
    assert code == 2
    assert "has no checkout" in err


def test_nobody_is_sent_to_a_real_provider(url: str, make_sale: MakeSale) -> None:
    code, _, err = simulate(url, with_checkout(make_sale, payment="stripe"), "--shoppers", "3")
    assert code == 2
    assert "at the demo provider only" in err
