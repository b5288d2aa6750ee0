"""Settlement checks again who may buy: the web process has looked at a cookie only."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts import access_codes, people
from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale
from orders import caretaker, reconciliation, settlement
from orders.settlement_statements import LOOK_UP, locking_sale
from tests.cast import click


def email() -> str:
    return f"anna-{uuid4().hex}@shop.example"


def decided(sale: Sale) -> list[tuple[str, str]]:
    settlement.settle(sale.pk)
    return list(sale.orders.order_by("accepted_at").values_list("status", "reason"))


def test_without_a_verified_address_an_entry_is_rejected(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, entrants="email")
    click(sale)
    click(sale, shopper=people.sign_in(email(), None).shopper)
    assert decided(sale) == [("rejected", "sign_in"), ("confirmed", "")]
    assert sale.variants.get().stock == 4
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_former_id_of_a_person_is_not_theirs_to_buy_with(make_sale: MakeSale) -> None:
    """The limit counts for the present one."""
    sale = make_sale(stock=5, entrants="email")
    anna, former = email(), new_shopper()
    present = people.sign_in(anna, None).shopper
    people.sign_in(anna, former)
    click(sale, shopper=former)
    click(sale, shopper=present)
    assert decided(sale) == [("rejected", "sign_in"), ("confirmed", "")]


def test_entries_that_are_decided_one_by_one_are_checked_too(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=5, entrants="email")
    click(sale)
    click(sale, shopper=people.sign_in(email(), None).shopper)
    monkeypatch.setattr(settlement, "_record", settlement._record_one_by_one)
    assert decided(sale) == [("rejected", "sign_in"), ("confirmed", "")]


def test_who_has_a_proof_still_gets_no_more_than_the_limit(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1, entrants="email")
    anna = people.sign_in(email(), None).shopper
    click(sale, shopper=anna)
    assert decided(sale) == [("confirmed", "")]
    caretaker.heal_all()
    assert click(sale, shopper=anna).reason == "limit"


def test_without_a_code_of_the_sale_an_entry_is_rejected(make_sale: MakeSale) -> None:
    sale, other = make_sale(stock=5, entrants="code"), make_sale(entrants="code")
    code, for_other = (access_codes.generate(1, [each.pk])[0] for each in (sale, other))
    shoppers = [new_shopper() for _ in range(3)]
    access_codes.redeem(code, sale.pk, shoppers[1])
    access_codes.redeem(for_other, other.pk, shoppers[2])
    for shopper in shoppers:
        click(sale, shopper=shopper)
    assert decided(sale) == [("rejected", "no_code"), ("confirmed", ""), ("rejected", "no_code")]


def test_a_sale_for_anyone_asks_nothing(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5)
    click(sale)
    assert decided(sale) == [("confirmed", "")]


TABLES = {"email": "accounts_knownshopper", "code": "accounts_accesscodeuse"}


@pytest.mark.parametrize("entrants", ["", "email", "code"])
def test_proofs_are_read_only_where_the_sale_asks_for_them(
    make_sale: MakeSale, entrants: str
) -> None:
    sale = make_sale(entrants=entrants)
    anna = people.sign_in(email(), None).shopper
    asked: dict[str, Any] = {"sale": sale.pk, "purchases": [], "shoppers": [anna]}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {LOOK_UP}", asked)
        plan = "\n".join(row for (row,) in cursor.fetchall())
    for asked_for, table in TABLES.items():
        [scan] = [line for line in plan.splitlines() if f" on {table}" in line]
        assert ("never executed" in scan) != (entrants == asked_for), plan
    assert "entrants" in locking_sale()  # no round trip more
