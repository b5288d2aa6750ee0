"""Each of the staff sees and does what they may, and nothing else."""

import pytest
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client

from conftest import MakeSale
from dashboard.tests.admin_pages import CORRECT, LOOK, RUN, Staff, asking, listed, page_of
from inventory.models import Sale, StockMovement, Variant
from orders import settlement
from orders.models import AuditEntry, Order
from tests.cast import queue_up

OF_SALES = ("schedule", "open", "pause", "resume", "end", "window", "limit")


@pytest.fixture
def sale(make_sale: MakeSale) -> Sale:
    """A sale with an order."""
    sale = make_sale(stock=3)
    queue_up(sale, 1)
    settlement.settle(sale.pk)
    return sale


def controls_of(sale: Sale) -> dict[str, Model]:
    """Every control of the staff's pages, with something to do it to."""
    variant = sale.variants.get()
    found: dict[str, Model] = dict.fromkeys(OF_SALES, sale)
    return found | {"restock": variant, "correct": variant, "cancel": sale.orders.get()}


def test_who_may_only_look_sees_every_list_and_can_do_nothing(sale: Sale) -> None:
    ben = Staff.with_permissions(*LOOK)
    for model in (Sale, Variant, Order, StockMovement, AuditEntry):
        assert 'name="action"' not in ben.opens(listed(model))
    before = AuditEntry.objects.count()
    for control, subject in controls_of(sale).items():
        assert asking(control, subject) not in ben.opens(page_of(subject))
        assert ben.browser.get(asking(control, subject)).status_code == 403
        assert ben.browser.post(asking(control, subject), {}).status_code == 403
        chosen = {"action": control, "_selected_action": [subject.pk], "index": 0}
        assert "Location" not in ben.browser.post(listed(subject), chosen).headers
    assert AuditEntry.objects.count() == before


def test_who_runs_sales_restocks_but_does_not_correct(sale: Sale) -> None:
    anna, variant = Staff.with_permissions(*RUN), sale.variants.get()
    page = anna.opens(page_of(variant))
    assert asking("restock", variant) in page
    assert asking("correct", variant) not in page
    assert anna.browser.post(asking("correct", variant), {}).status_code == 403


def test_who_corrects_stock_restocks_too_but_runs_no_sale(sale: Sale) -> None:
    carl, variant = Staff.with_permissions(*LOOK, CORRECT), sale.variants.get()
    assert carl.confirms("restock", variant, units=1) == [f"The stock of {variant} has grown by 1."]
    for control in OF_SALES:
        assert carl.browser.post(asking(control, sale), {}).status_code == 403
    assert carl.browser.post(asking("cancel", sale.orders.get()), {}).status_code == 403
    assert Sale.objects.get(pk=sale.pk).status == "live"


def test_who_may_not_see_sales_is_not_asked_about_them(sale: Sale) -> None:
    dora = Staff.with_permissions("inventory.run_sales", "orders.view_order")
    assert dora.browser.get(asking("pause", sale)).status_code == 403
    assert dora.browser.get(listed(Sale)).status_code == 403


def test_strangers_and_shoppers_are_sent_to_the_login(sale: Sale) -> None:
    shopper = Client()
    shopper.force_login(User.objects.create(username=f"shopper-{sale.pk}"))
    for browser in (Client(), shopper):
        for address in (listed(Order), asking("pause", sale), page_of(sale)):
            assert browser.get(address).headers["Location"].startswith("/admin/login/")
            assert browser.post(address, {}).headers["Location"].startswith("/admin/login/")


def test_another_site_cannot_have_it_done(sale: Sale) -> None:
    anna = Staff.with_permissions(*RUN)
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = anna.browser.cookies
    assert careful.post(asking("pause", sale), {}).status_code == 403
    assert Sale.objects.get(pk=sale.pk).status == "live"
