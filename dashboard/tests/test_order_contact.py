"""Who may see a shopper's contact beside an order, and that each look is in the audit."""

import pytest
from django.db import OperationalError

from accounts import contacts
from conftest import MakeSale
from dashboard import order_contact
from dashboard.tests.admin_pages import Staff, page_of
from orders.models import AuditEntry, Order
from orders.shipping import mark_shipped
from payments.models import Refund
from tests.shipped import ANNA, give_contact, pay, personal, sell

SEE = "orders.view_order"
SEE_CONTACT, SEE_PAYMENT = "accounts.view_contact", "payments.view_attempt"


@pytest.fixture
def order(make_sale: MakeSale) -> Order:
    [order] = sell(make_sale(hold=10))
    give_contact(order.pk)
    return order


def looks(order: Order) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(order=order.pk, action="looked"))


def test_staff_with_the_permission_see_it_and_each_look_is_audited(order: Order) -> None:
    anna = Staff.with_permissions(SEE, SEE_CONTACT)
    for times in (1, 2):
        html = anna.opens(page_of(order))
        assert (
            "Anna Quellwasser<br>Quellwasser &amp; Töchter<br>Krähenwinkel 12b<br>Hinterhaus"
            in html
        )
        assert "21614 Buxtehude" in html
        assert len(looks(order)) == times
    entry = looks(order)[0]
    assert (entry.actor, entry.sale_id, entry.before, entry.after) == (
        anna.name,
        order.sale_id,
        {},
        {},
    )


def test_others_see_that_there_is_one_and_nothing_of_it(order: Order) -> None:
    html = Staff.with_permissions(SEE, SEE_PAYMENT).opens(page_of(order))
    assert "your account may not see it" in html
    assert [text for text in personal() if text in html] == []
    assert looks(order) == []


def test_a_look_that_cannot_be_audited_shows_nothing(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(order_contact, "write_down", fail)
    html = Staff.with_permissions(SEE, SEE_CONTACT).opens(page_of(order))
    assert ANNA.name not in html
    assert "written into the audit" in html


def test_an_erased_contact_is_called_erased(order: Order) -> None:
    contacts.erase([order.pk])
    html = Staff.with_permissions(SEE, SEE_CONTACT).opens(page_of(order))
    assert ">erased<" in html
    assert looks(order) == []


def test_an_order_without_a_contact_has_none(make_sale: MakeSale) -> None:
    [order] = sell(make_sale())
    anna = Staff.with_permissions(SEE, SEE_CONTACT, SEE_PAYMENT)
    assert anna.opens(page_of(order)).count(">none<") == 2
    assert looks(order) == []


def test_payment_and_refund_are_shown_to_those_who_may_see_them(order: Order) -> None:
    attempt = pay(order, "pi_12345")
    Refund.objects.create(
        attempt=attempt, amount=attempt.amount, state=Refund.State.FAILED, problem="card is gone"
    )
    html = Staff.with_permissions(SEE, SEE_PAYMENT).opens(page_of(order))
    assert "Captured: €129.00, demo pi_12345, refund failed, card is gone" in html
    assert "pi_12345" not in Staff.with_permissions(SEE).opens(page_of(order))


def test_the_parcel_is_shown(order: Order) -> None:
    mark_shipped(order.pk, carrier="DHL", number="1", url="https://dhl.example/1", by="anna")
    assert "DHL 1, https://dhl.example/1" in Staff.with_permissions(SEE).opens(page_of(order))
