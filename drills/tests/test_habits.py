"""Each habit does what its name says, and gets what the shop promises."""

import random
from collections import Counter

import pytest

from conftest import MakeSale
from drills import habits, log_check
from drills.crowd import draw_habits
from drills.log_check import DatabaseState
from drills.shopper_log import ASKED, LEFT, SOCKET
from drills.tests.conftest import Visit
from inventory.models import Sale
from orders.models import Order
from tests import deadlines


@pytest.fixture(autouse=True)
def look_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(habits, "LOOKS", 0.05)


def statuses(sale: Sale) -> list[str]:
    return list(sale.orders.values_list("status", flat=True))


def test_a_patient_shopper_hears_the_outcome_on_the_socket(
    visit: Visit, make_sale: MakeSale
) -> None:
    sale = make_sale()
    log = visit("patient", sale)
    [final] = log.final.values()
    assert (final.status, final.how) == ("confirmed", SOCKET)
    assert log.sockets_opened == 1
    assert statuses(sale) == ["confirmed"]


def test_a_patient_shopper_tries_another_variant_if_one_is_sold_out(
    visit: Visit, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock={"gone": 0, "shoe": 3})
    monkeypatch.setattr(
        habits, "_sort_forms", lambda shopper, page: iter(page.forms)
    )  # in this order
    log = visit("patient", sale)
    assert [reply.code for reply in log.replies] == ["sold_out", "queued"]
    assert sale.orders.get().variant == sale.variants.get(sku__startswith="shoe")


def test_a_patient_shopper_waits_for_the_opening(visit: Visit, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=deadlines.ahead(2))
    log = visit("patient", sale)
    assert [reply.code for reply in log.replies][-1] == "queued"
    assert {reply.code for reply in log.replies[:-1]} == {"not_open"}


def test_a_double_click_makes_one_order(visit: Visit, make_sale: MakeSale) -> None:
    sale = make_sale(limit=5)
    log = visit("double-clicking", sale, lambda log: len(log.replies) == 2 and bool(log.final))
    first, second = log.replies
    assert second.sent < first.sent + first.took  # at once
    assert first.purchase == second.purchase
    assert statuses(sale) == ["confirmed"]


def test_many_tabs_get_no_more_than_the_limit(visit: Visit, make_sale: MakeSale) -> None:
    sale = make_sale(stock=50, limit=2)
    log = visit("many tabs", sale, lambda log: Counter(h.code for h in log.replies)["limit"] == 2)
    assert len({reply.form for reply in log.replies}) == habits.TABS
    assert statuses(sale) == ["confirmed"] * 2


@pytest.mark.parametrize(("leaves_after", "first"), [(0, {LEFT}), (9, {LEFT, "queued"})])
def test_the_impatient_asks_again_and_finds_its_answer(
    leaves_after: int,
    first: set[str],
    visit: Visit,
    make_sale: MakeSale,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(habits, "LEAVES_AFTER", leaves_after)
    sale = make_sale()
    log = visit("impatient", sale)
    assert log.replies[0].code in first
    assert len(log.replies) > 1
    [final] = log.final.values()
    assert final.status == "confirmed"
    assert str(sale.orders.get().pk) == final.purchase


def test_a_bot_gets_no_more_than_the_limit_and_an_answer_to_everything(
    visit: Visit, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=50, limit=2)
    before = log_check.read_stock(sale)
    log = visit("bot", sale, lambda log: len(log.replies) > 300)
    codes = {reply.code for reply in log.replies}
    assert {"ticket", "product", "quantity", "body", "too_large", "content_type", "limit"} <= codes
    assert log_check.find_faults([log], DatabaseState.read(sale, before, [log])) == []
    confirmed = Order.objects.filter(sale=sale, status="confirmed")
    assert sum(order.quantity for order in confirmed) == 2


def test_without_a_socket_the_shopper_asks_for_the_outcome(
    visit: Visit, make_sale: MakeSale
) -> None:
    log = visit("impatient", make_sale())
    assert log.sockets_opened == 0
    assert ASKED in {update.how for update in log.updates}


def test_a_crowd_has_its_habits_in_their_shares() -> None:
    assert sum(share for _, share in habits.SHARES.values()) == 100
    counts = Counter(draw_habits(500, random.Random(1)))
    assert counts == {habit: share * 5 for habit, (_, share) in habits.SHARES.items()}
    assert [len(draw_habits(number, random.Random(1))) for number in range(1, 40)] == [
        *range(1, 40)
    ]


def test_the_same_seed_makes_the_same_crowd() -> None:
    assert draw_habits(50, random.Random(3)) == draw_habits(50, random.Random(3))
    assert draw_habits(50, random.Random(3)) != draw_habits(50, random.Random(4))
