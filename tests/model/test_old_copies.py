"""Histories in which Redis comes back from an older copy. By chance the machine seldom finds them."""

from unittest.mock import patch

import pytest

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from orders import replication, settlement
from orders.tickets import new_purchase
from tests.model.play import Play
from tests.model.reference import Step, Ticket

A, B = "click the first", "click the second"
NOTICED, UNNOTICED = Step("bring_back_copy", (0, True)), Step("bring_back_copy", (0, False))
HISTORIES = {
    "accepted again in another order": (
        *(A, B, Step("keep_copy"), Step("wipe", (True,)), Step("heal"), B, A, NOTICED),
    ),
    "lost in PostgreSQL too, and accepted again in another order": (
        *(A, B, Step("keep_copy"), Step("back_up"), Step("settle")),
        *(Step("restore_backup", (0,)), B, A, NOTICED),
    ),
    "accepted again by a copy that does not know its order": (
        *(Step("keep_copy"), A, B, Step("settle"), UNNOTICED, A),
    ),
}


@pytest.mark.parametrize("history", HISTORIES)
def test_the_promises_hold(make_sale: MakeSale, history: str) -> None:
    sale = make_sale(stock={"shoe": 9}, limit=3)
    play = Play(sale, settlement.BATCH, replication._PART)
    [sku] = play.shop.variants
    clicks = {
        who: Step("click", (Ticket(new_purchase(sale.pk), new_shopper(), sku, 1),))
        for who in (A, B)
    }
    with patch.object(settlement, "LINGER", 1):  # nobody clicks while a line is settled
        for step in HISTORIES[history]:
            play.whole(clicks[step] if isinstance(step, str) else step)
        play.rest()
    assert sale.orders.count() == 2
