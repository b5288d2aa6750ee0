"""A stranger, a shopper and staff without the permission get nothing from any page or control."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from conftest import MakeSale
from dashboard.access import may_still_look
from dashboard.tests.staff import CORRECTS, LOOKS, RUNS, browser_of, employ, session_of
from inventory.models import Sale

PAGES = ("dashboard", "dashboard-live", "dashboard-history")
CONTROLS = ("schedule", "open", "pause", "resume", "end", "limit", "window")


def stranger() -> None:
    return None


def customer() -> User:
    return employ(RUNS, is_staff=False)  # a permission without staff status


def without_permission() -> User:
    return employ(["inventory.view_sale", "inventory.change_sale"])


def dismissed() -> User:
    user = employ(CORRECTS)
    user.is_active = False
    user.save()
    return user


UNWANTED = (stranger, customer, without_permission, dismissed)


@pytest.mark.parametrize("who", UNWANTED)
@pytest.mark.parametrize("page", PAGES)
def test_nobody_else_sees_a_page(make_sale: MakeSale, who: type, page: str) -> None:
    sale, browser = make_sale(), browser_of(who())
    answer = browser.get(reverse(page))
    assert answer.status_code in (302, 403)
    assert sale.name not in answer.content.decode()
    if answer.status_code == 302:
        assert answer["Location"].startswith("/admin/login/?next=/dashboard/")
    assert browser.get(reverse(page), headers={"HX-Request": "true"}).status_code == 403


@pytest.mark.parametrize("who", [*UNWANTED, lambda: employ(LOOKS)])
@pytest.mark.parametrize("control", CONTROLS)
def test_nobody_else_runs_a_sale(make_sale: MakeSale, who: type, control: str) -> None:
    sale = make_sale()
    before = Sale.objects.filter(pk=sale.pk).values().get()
    fields = {"limit": 5, "closes_at": "2099-01-01T00:00", "reason": "x"}
    answer = browser_of(who()).post(reverse("change-sale", args=[sale.pk, control]), fields)
    assert answer.status_code == 403
    assert Sale.objects.filter(pk=sale.pk).values().get() == before


@pytest.mark.parametrize(
    ("who", "control"),
    [
        *((who, control) for who in UNWANTED for control in ("restock", "correct")),
        (lambda: employ(LOOKS), "restock"),
        (lambda: employ(RUNS), "correct"),
    ],
)
def test_nobody_else_moves_stock(make_sale: MakeSale, who: type, control: str) -> None:
    variant = make_sale(stock=5).variants.get()
    fields = {"units": 3, "reason": "x", "key": uuid4()}
    url = reverse("change-variant", args=[1, variant.pk, control])
    assert browser_of(who()).post(url, fields).status_code == 403
    variant.refresh_from_db()
    assert variant.stock == 5


@pytest.mark.parametrize(
    "address",
    [
        *("/dashboard/sales/{sale}/pause/", "/admin/inventory/sale/pause/?id={sale}"),
        "/dashboard/sales/{sale}/products/{variant}/restock/",
        "/admin/inventory/variant/restock/?id={variant}",
    ],
)
def test_a_form_from_another_site_changes_nothing(make_sale: MakeSale, address: str) -> None:
    sale = make_sale(stock=5)
    variant = sale.variants.get()
    boss = employ(CORRECTS)
    boss.is_superuser = True
    boss.save()
    browser, form = browser_of(boss), {"units": 3, "key": uuid4()}
    url = address.format(sale=sale.pk, variant=variant.pk)
    browser.handler.enforce_csrf_checks = True
    assert browser.post(url, form).status_code == 403
    sale.refresh_from_db()
    variant.refresh_from_db()
    assert (sale.status, variant.stock) == ("live", 5)
    browser.handler.enforce_csrf_checks = False
    assert browser.post(url, form).status_code == 302  # it is a form that does change something
    sale.refresh_from_db()
    variant.refresh_from_db()
    assert (sale.status, variant.stock) != ("live", 5)


def test_a_link_changes_nothing(make_sale: MakeSale) -> None:
    sale = make_sale()
    url = reverse("change-sale", args=[sale.pk, "pause"])
    assert browser_of(employ(RUNS)).get(url).status_code == 405


def test_who_may_only_look_sees_figures_and_no_controls(make_sale: MakeSale) -> None:
    sale = make_sale()
    page = browser_of(employ(LOOKS)).get(reverse("dashboard")).content.decode()
    assert sale.name in page
    assert "/pause/" not in page
    assert "/restock/" not in page
    page = browser_of(employ(RUNS)).get(reverse("dashboard")).content.decode()
    assert "/pause/" in page
    assert "/correct/" not in page


def test_looking_changes_nothing_about_a_session_of_an_older_key(settings: Any) -> None:
    """Django's own look would renumber it, and the browser would be logged out."""
    session = session_of(employ(LOOKS)).partition("=")[2]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "y" * 40
    assert may_still_look(session)
    assert may_still_look(session)
