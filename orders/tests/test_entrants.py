"""Settlement checks again who may buy: the web process has looked at a cookie only."""

from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from django.db import connection

from accounts import access_codes, people
from accounts.access_codes import Opened
from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale
from orders import caretaker, holds, reconciliation, settlement
from orders.cancellation import cancel_order
from orders.settlement_statements import LOOK_UP, locking_sale
from tests.cast import click, end_holds


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


# --- One person, several ids ----------------------------------------------------------------------


class Anna(NamedTuple):
    """She has signed in on her phone, and has typed the sale's one code on her laptop, as a guest."""

    email: str
    phone: UUID
    laptop: UUID
    code: str

    def signs_in(self, sale: Sale) -> None:
        """On the laptop, whose id becomes a former one of hers. Her code is accepted again."""
        people.sign_in(self.email, self.laptop)
        assert access_codes.redeem(self.code, sale.pk, self.phone) == Opened(None)


def anna_with_code(sale: Sale) -> Anna:
    [code] = access_codes.generate(1, [sale.pk])
    anna = Anna(email(), new_shopper(), new_shopper(), code)
    people.sign_in(anna.email, anna.phone)
    assert access_codes.redeem(code, sale.pk, anna.laptop) == Opened(None)
    return anna


@pytest.fixture(params=["batch", "one by one"])
def in_each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "one by one":
        monkeypatch.setattr(settlement, "_record", settlement._record_one_by_one)


@pytest.fixture
def count_ids_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: without this step each id of a person has a limit of its own."""
    monkeypatch.setattr(settlement, "name_people", lambda entries, _: (entries, {}))


def buy_as_guest_then_signed_in(sale: Sale) -> list[tuple[str, str]]:
    anna = anna_with_code(sale)
    click(sale, shopper=anna.laptop)
    assert decided(sale) == [("confirmed", "")]
    anna.signs_in(sale)
    click(sale, shopper=anna.phone)
    return decided(sale)


@pytest.mark.usefixtures("in_each_way")
def test_who_buys_as_a_guest_and_signs_in_has_one_limit(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1, entrants="code")
    assert buy_as_guest_then_signed_in(sale) == [("confirmed", ""), ("rejected", "limit")]
    assert reconciliation.verify(sale.pk).faults == {}


@pytest.mark.usefixtures("in_each_way", "count_ids_apart")
def test_without_the_persons_other_ids_the_guest_would_buy_twice(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1, entrants="code")
    assert buy_as_guest_then_signed_in(sale) == [("confirmed", ""), ("confirmed", "")]


@pytest.mark.usefixtures("in_each_way")
def test_entries_of_one_person_that_wait_together_have_one_limit(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=2, entrants="code")
    anna = anna_with_code(sale)
    anna.signs_in(sale)
    for shopper in (anna.laptop, anna.phone, anna.laptop, anna.phone):
        click(sale, shopper=shopper)
    assert decided(sale) == [("confirmed", "")] * 2 + [("rejected", "limit")] * 2
    assert reconciliation.verify(sale.pk).faults == {}


def test_the_guests_cookie_that_was_kept_has_the_persons_limit(make_sale: MakeSale) -> None:
    """The laptop's old cookies still prove the code, after Anna has bought with her phone."""
    sale = make_sale(stock=5, limit=1, entrants="code")
    anna = anna_with_code(sale)
    anna.signs_in(sale)
    click(sale, shopper=anna.phone)
    assert decided(sale) == [("confirmed", "")]
    click(sale, shopper=anna.laptop)
    assert decided(sale) == [("confirmed", ""), ("rejected", "limit")]


def test_what_a_person_gives_back_may_be_bought_with_another_id(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1, entrants="code")
    anna = anna_with_code(sale)
    click(sale, shopper=anna.laptop)
    assert decided(sale) == [("confirmed", "")]
    cancel_order(sale.orders.get().pk, by="staff", reason="a test")
    anna.signs_in(sale)
    click(sale, shopper=anna.phone)
    assert decided(sale) == [("cancelled", ""), ("confirmed", "")]


def test_a_person_enters_a_draw_once_whichever_id_they_use(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=2, entrants="code", draw_in=600)
    anna = anna_with_code(sale)
    click(sale, shopper=anna.laptop)
    assert decided(sale) == [("waiting", "")]
    anna.signs_in(sale)
    click(sale, shopper=anna.phone)
    assert decided(sale) == [("waiting", ""), ("rejected", "limit")]


def revive_after_another_order(sale: Sale) -> bool:
    """Anna's hold as a guest ends, she buys with her other id, and then her late payment is authorised."""
    anna = anna_with_code(sale)
    click(sale, shopper=anna.laptop)
    assert decided(sale) == [("held", "")]
    end_holds(sale)
    caretaker.expire_holds()
    anna.signs_in(sale)
    click(sale, shopper=anna.phone)
    assert decided(sale) == [("expired", ""), ("held", "")]
    return holds.revive(sale.orders.get(shopper=anna.laptop).pk)


def test_a_late_payment_revives_no_order_beyond_the_persons_limit(make_sale: MakeSale) -> None:
    assert not revive_after_another_order(make_sale(stock=5, limit=1, entrants="code", hold=10))


def test_without_the_persons_other_ids_it_would(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "ids_of_same", lambda shopper: {shopper})
    assert revive_after_another_order(make_sale(stock=5, limit=1, entrants="code", hold=10))


def test_other_peoples_units_do_not_count(make_sale: MakeSale) -> None:
    sale = make_sale(stock=5, limit=1, entrants="code")
    for anna in (anna_with_code(sale), anna_with_code(sale)):
        anna.signs_in(sale)
        click(sale, shopper=anna.phone)
    assert decided(sale) == [("confirmed", "")] * 2


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
    executed = {
        table: sum(
            "never executed" not in line for line in plan.splitlines() if f" on {table}" in line
        )
        for table in TABLES.values()
    }
    people_read = executed["accounts_knownshopper"]
    assert (people_read > 0) == (entrants != ""), plan
    assert executed["accounts_accesscodeuse"] == (entrants == "code"), plan
    assert "entrants" in locking_sale()  # no round trip more
