"""A shop of the last release is upgraded with a sale open and entries in the line: its gate is taken over.

`released_gate/` holds the scripts of version 0.1.0, with which its processes wrote the gate.
"""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from flashsale.redis import blocking_clients
from inventory.gate import replica, scripts
from inventory.models import Sale
from orders import caretaker, reconciliation, replication, settlement
from orders.tickets import new_purchase
from tests.cast import click, skus

SCRIPTS = Path(__file__).with_name("released_gate")
NAMES = ("gate", "stock", "flight", "bought", "held", "answers", "line", "bell", "recent")
RULES = ("status", "limit", "opens_at", "closes_at")
EPOCH = "the last release's"


def run(script: str, sale: Sale, keys: int, *arguments: object, more: tuple[str, ...] = ()) -> Any:
    """Call a script as a process of the last release does."""
    names = [f"{{sale:{sale.pk}}}:{name}" for name in NAMES[:keys]] + list(more)
    text = (SCRIPTS / f"{script}.lua").read_text()
    return blocking_clients.client_of(sale.pk).eval(text, len(names), *names, *arguments)  # type: ignore[arg-type]  # any text


def click_as_released(sale: Sale, purchase: UUID, shopper: UUID) -> str:
    rates = tuple(f"{{sale:{sale.pk}}}:rate:{who}" for who in (shopper.hex, "192.0.2.1"))
    asked = (purchase.hex, shopper.hex, skus(sale)[0], 1, 0, 0, 100)
    return str(run("admit", sale, 9, *asked, more=rates)[0])


@pytest.fixture
def released(make_sale: MakeSale) -> Sale:
    """An open sale of five units whose gate only the last release has written."""
    sale = make_sale(stock=5)
    replica.remove([sale.pk])
    run("cool", sale, 1, EPOCH)
    delta = replication.delta_since(sale.pk, 0)
    assert delta is not None
    told = json.loads(next(delta.parts(10))) | {"mark": EPOCH, "opens": True}
    del told["epoch"], told["makes_ready"]
    told["rules"] = {rule: told["rules"][rule] for rule in RULES}
    assert run("tell", sale, 9, json.dumps(told)) == [1, sale.version]
    Sale.objects.filter(pk=sale.pk).update(epoch=EPOCH)
    blocking_clients.client_of(
        sale.pk
    ).script_flush()  # that Redis never knew this version's scripts
    return sale


def buy_three(sale: Sale) -> dict[UUID, UUID]:
    """Purchases in the line, by their shopper."""
    bought = {new_shopper(): new_purchase(sale.pk) for _ in range(3)}
    for shopper, purchase in bought.items():
        assert click_as_released(sale, purchase, shopper) == "queued"
    return bought


def take_over_and_settle(sale: Sale) -> None:
    caretaker.heal_all()
    settlement.settle(sale.pk)


def test_entries_that_the_last_release_accepted_are_all_decided(released: Sale) -> None:
    bought = buy_three(released)
    take_over_and_settle(released)
    orders = {order.pk: order.status for order in released.orders.all()}
    assert orders == dict.fromkeys(bought.values(), "confirmed")
    assert reconciliation.verify(released.pk).balanced


def test_a_ticket_of_the_last_release_gets_its_answer_and_another_can_buy(released: Sale) -> None:
    bought = buy_three(released)
    take_over_and_settle(released)
    for shopper, purchase in bought.items():
        again = click(released, shopper=shopper, purchase=purchase)
        assert (again.code, again.answer and again.answer.status) == ("known", "confirmed")
    assert click(released).code == "queued"


def test_units_in_flight_stay_in_flight(released: Sale) -> None:
    bought = buy_three(released)
    caretaker.heal_all()
    seen = replica.read_snapshot(released.pk)
    assert seen.view.in_flight == {skus(released)[0]: 3}
    assert seen.in_flight_by_shopper == {shopper.hex: 1 for shopper in bought}


def test_its_twin_that_knows_no_former_names_loses_them(released: Sale) -> None:
    buy_three(released)
    with patch.object(
        replica, "former_keys", lambda sale: (f"{{sale:{sale}}}:x", f"{{sale:{sale}}}:y")
    ):
        caretaker.heal_all()
    assert replica.read_view(released.pk).in_flight == {}
    assert not reconciliation.verify(released.pk).balanced


def test_a_web_process_of_the_last_release_is_busy_once_the_gate_is_taken_over(
    released: Sale,
) -> None:
    caretaker.heal_all()
    assert click_as_released(released, new_purchase(released.pk), new_shopper()) == "cold"


def test_nothing_of_it_is_left_when_its_sale_is_purged(released: Sale) -> None:
    caretaker.heal_all()
    blocking_clients.client_of(released.pk).hset(scripts.former_keys(released.pk)[0], "late", 1)
    replica.remove([released.pk])
    assert blocking_clients.client_of(released.pk).keys(f"{{sale:{released.pk}}}:*") == []
