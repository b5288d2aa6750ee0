"""`manage.py doctor` finds sales that cannot sell, or need attention."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from conftest import MakeSale
from flashsale.observe import telemetry
from flashsale.redis import blocking_clients
from inventory.gate.scripts import keys
from inventory.models import Sale
from ops.doctor import sales
from ops.doctor.findings import Check, Finding, State
from orders import caretaker, settlement
from orders.models import Order
from orders.tickets import new_purchase
from tests.cast import queue_up, run_caretaker
from tests.operators import here


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs here, so waiting for one is useless; other tests leave drafts behind."""
    monkeypatch.setattr(sales, "_CATCHES_UP", 0.2)
    monkeypatch.setattr(sales, "_NAMED", 10_000)


def about(sale: Sale, check: Check) -> list[Finding]:
    """The findings about this sale."""
    return [finding for finding in check() if finding.about == f"sale {sale.slug}"]


def mentions(sale: Sale, check: Check) -> bool:
    """Whether it is named among those that something is wrong with."""
    seen = " ".join(finding.seen for finding in check() if finding.state != State.OK)
    return re.search(rf"\b{sale.slug}\b", seen) is not None


def test_a_sale_that_sells_is_well(make_sale: MakeSale) -> None:
    sale = make_sale()
    queue_up(sale, 2)
    for check in (
        sales.check_gates,
        sales.check_lines,
        sales.check_poison,
        sales.check_unfinished,
        sales.check_drafts,
    ):
        assert about(sale, check) == []
        assert not mentions(sale, check)


@pytest.mark.parametrize(
    ("field", "value", "seen"),
    [("ready", "0", "not ready"), ("epoch", "another", "not ready"), ("version", 1, "older state")],
)
def test_a_gate_that_is_not_ready_or_behind_fails(
    make_sale: MakeSale, field: str, value: str | int, seen: str
) -> None:
    sale = make_sale()
    blocking_clients.client_of(0).hset(keys(sale.pk).gate, field, value)
    [finding] = about(sale, sales.check_gates)
    assert (finding.state, seen in finding.seen) == (State.FAILED, True)


def test_a_gate_that_is_ahead_of_postgresql_fails(make_sale: MakeSale) -> None:
    sale = make_sale()
    blocking_clients.client_of(0).hincrby(keys(sale.pk).gate, "version", 5)
    assert "ahead of PostgreSQL" in about(sale, sales.check_gates)[0].seen


def test_a_gate_that_is_told_a_moment_later_is_well(make_sale: MakeSale) -> None:
    sale = make_sale()
    blocking_clients.client_of(0).hset(keys(sale.pk).gate, "version", 1)
    caretaker.heal_all()
    assert about(sale, sales.check_gates) == []


def test_a_line_that_waits_for_long_fails(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale()
    queue_up(sale, 1)
    assert about(sale, sales.check_lines) == []
    monkeypatch.setattr(sales, "WAITS_LONG", -1)
    assert about(sale, sales.check_lines)[0].state == State.FAILED


def test_purchases_that_could_not_be_decided_are_a_warning(make_sale: MakeSale) -> None:
    sale = make_sale()
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    order = sale.orders.get()
    order.pk, order.status, order.reason = new_purchase(sale.pk), "rejected", Order.Reason.ERROR
    order.save(force_insert=True)
    assert mentions(sale, sales.check_poison)


def test_a_sale_that_is_over_and_not_finished_is_a_warning(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=-600, closes_in=3600)
    assert not mentions(sale, sales.check_unfinished)
    over = timezone.now() - timedelta(minutes=2)
    Sale.objects.filter(pk=sale.pk).update(closes_at=over)
    assert mentions(sale, sales.check_unfinished)


def test_a_draft_that_should_be_open_is_a_warning(make_sale: MakeSale) -> None:
    assert mentions(make_sale(live=False), sales.check_drafts)
    assert not mentions(make_sale(live=False, opens_in=600), sales.check_drafts)


def test_a_currency_that_no_list_has_is_a_warning(make_sale: MakeSale) -> None:
    variants = make_sale(live=False).variants
    variants.update(currency="QQQ")
    [finding] = sales.check_currencies()
    assert finding.state == State.WARNING
    assert re.search(r"\bQQQ\b", finding.seen)
    variants.update(currency="EUR")
    assert not any(re.search(r"\bQQQ\b", finding.seen) for finding in sales.check_currencies())


def test_scripts_that_redis_has_forgotten_fail(make_sale: MakeSale) -> None:
    make_sale()
    blocking_clients.client_of(0).script_flush()
    try:
        assert [finding.state for finding in sales.check_scripts()] == [State.FAILED]
    finally:
        run_caretaker()
    assert [finding.state for finding in sales.check_scripts()] == [State.OK]


def test_the_command_fails_where_anything_has_failed() -> None:
    blocking_clients.telemetry_client().delete(telemetry.PROCESSES_KEY)  # no web process runs here
    ran = here("doctor", "--json")
    states = {(one["about"], one["state"]) for one in ran.told["findings"]}
    assert (ran.code, ran.told["healthy"]) == (1, False)
    assert ("web", "failed") in states
    assert ("PostgreSQL", "ok") in states
