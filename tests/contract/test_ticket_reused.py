"""A form that has bought something buys nothing else, neither while it waits nor ever after."""

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders.settlement import settle
from tests.cast import HTMX, JSON, Shopper, forms, promise_too_much, skus
from tests.contract.fates import decided
from tests.contract.shapes import (
    WORDS,
    boxes,
    buy,
    in_each_shape,
    location,
    purchase_in,
    state,
    waiting,
)

ANOTHER = pytest.mark.parametrize("another", ["product", "quantity"])


def other(sale: Sale, another: str) -> dict[str, object]:
    return {"product": skus(sale)[1]} if another == "product" else {"quantity": 2}


@ANOTHER
@pytest.mark.parametrize("status", ["queued", "confirmed", "rejected"])
@in_each_shape
def test_a_form_that_has_bought_buys_nothing_else(
    shape: str, status: str, another: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    units = 0 if status == "rejected" else 5
    sale = make_sale(stock={"shoe": units, "boot": units}, limit=5)
    promise_too_much(sale, 5)
    ticket = shopper.ticket(sale)
    shopper.buy(sale, ticket)
    if status != "queued":
        settle(sale.pk)
    before = state(sale)

    reply = buy(shopper, sale, shape, ticket, **other(sale, another))
    purchase = str(purchase_in(ticket))
    if shape == "json":
        error = {"error": "ticket_reused", "purchase": purchase, "status": status}
        assert (reply.status_code, reply.json()) == (422, error)
    elif shape == "htmx":
        assert (reply.status_code, boxes(reply)[0]) == (422, (purchase, status))
        assert WORDS["ticket_reused"] in reply.text
    else:
        assert location(reply) == f"/orders/{purchase}/"
    assert state(sale) == before


def test_after_a_rejection_another_quantity_gets_a_form_that_buys(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale, ticket = decided("over the limit", shopper, make_sale)
    reply = shopper.buy(sale, ticket, HTMX, quantity=1)
    assert reply.status_code == 422
    [form] = forms(reply.text)
    assert shopper.buy(sale, headers=JSON, **form).status_code == 202
    assert waiting(sale) == 1
