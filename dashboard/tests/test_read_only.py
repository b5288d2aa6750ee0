"""While PostgreSQL or Redis can only be read, staff pages say so; none is an error of the program."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import reverse

from conftest import MakeSale
from dashboard.reading import Observer
from dashboard.tests.staff import browser_of
from dashboard.tests.test_admin_products import product_form
from flashsale.middleware import Sessions
from inventory.models import Sale
from orders.models import AuditEntry
from tests import read_only, stack
from tests.cast import HTMX
from tests.read_only import ReadOnly

NAME, PASSWORD = "anna-of-the-night", "correct horse battery 9"


@pytest.fixture
def browser() -> Client:
    user = User.objects.create_superuser(f"anna-{uuid4().hex[:8]}")
    return browser_of(user)


def says_so(answer: Any) -> bool:
    return (
        answer.status_code == 503
        and bool(answer.headers["Retry-After"])
        and "can only be read" in answer.content.decode()
    )


def comes_back(status: int, ask: Callable[[], Any]) -> None:
    """A session that began just before may be used a moment longer."""
    stack.wait_for(lambda: ask().status_code == status, "it works again")


def test_a_login_says_so() -> None:
    User.objects.filter(username=NAME).delete()
    User.objects.create_superuser(NAME, password=PASSWORD)
    form = {"username": NAME, "password": PASSWORD}
    log_in = partial(async_to_sync(AsyncClient().post), reverse("admin:login"), form)
    with read_only.by_role():
        assert says_so(log_in())
    comes_back(302, log_in)


def test_a_form_of_admin_says_so(browser: Client) -> None:
    form = product_form(name=f"Night {uuid4().hex[:8]}")
    url = reverse("admin:inventory_product_add")
    with read_only.by_role():
        assert says_so(browser.post(url, form))
    comes_back(302, lambda: browser.post(url, form))


def test_a_control_of_admin_says_so(browser: Client, make_sale: MakeSale) -> None:
    sale = make_sale()
    url = f"{reverse('admin:inventory_sale_pause')}?id={sale.pk}"
    with read_only.by_role():
        assert says_so(browser.post(url, {"reason": "night"}))
    assert not AuditEntry.objects.filter(sale=sale, action="paused").exists()
    comes_back(302, lambda: browser.post(url, {"reason": "night"}))


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_a_control_of_the_dashboard_says_so(
    browser: Client, make_sale: MakeSale, headers: dict[str, str]
) -> None:
    sale = make_sale()
    url = reverse("change-sale", args=[sale.pk, "pause"])
    with read_only.by_role():
        assert says_so(browser.post(url, headers=headers))
    assert Sale.objects.get(pk=sale.pk).status == Sale.Status.LIVE
    comes_back(200, lambda: browser.post(url, headers=HTMX))


def test_a_session_that_is_saved_after_the_view_says_so(browser: Client) -> None:
    request = RequestFactory().get("/admin/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = browser.cookies[
        settings.SESSION_COOKIE_NAME
    ].value

    def change(request: object) -> HttpResponse:
        request.session["changed"] = True  # type: ignore[attr-defined]  # added by the middleware
        return HttpResponse("done")

    with read_only.by_role():
        assert says_so(Sessions(change)(request))
    comes_back(200, lambda: Sessions(change)(request))


# --- The dashboard -------------------------------------------------------------------------------


def alarms(observer: Observer) -> dict[str, str]:
    return {alarm.code: alarm.words for alarm in observer.look().alarms}


@pytest.mark.parametrize(
    ("postgresql", "reason"),
    [
        (read_only.by_role, "default_transaction_read_only is on"),
        (read_only.as_standby, "it is a standby"),
    ],
)
def test_the_dashboard_shows_its_figures_and_names_a_postgresql_that_can_only_be_read(
    browser: Client, make_sale: MakeSale, postgresql: ReadOnly, reason: str
) -> None:
    sale, observer = make_sale(stock=7), Observer()
    with postgresql():
        assert reason in alarms(observer)["postgresql-read-only"]
        page = browser.get(reverse("dashboard"))
    assert page.status_code == 200
    assert sale.name in page.content.decode()
    assert 'data-code="postgresql-read-only"' in page.content.decode()
    stack.wait_for(lambda: "postgresql-read-only" not in alarms(observer), "it is over")
    read_only.forget_sessions()


@pytest.mark.parametrize(
    ("redis", "reason"),
    [
        (read_only.as_replica, "it is a replica"),
        (read_only.without_replicas, "it has fewer replicas"),
        (read_only.without_permission, "its user may not write"),
        (read_only.after_a_failed_snapshot, "its last write to disk has failed"),
    ],
)
def test_the_dashboard_names_a_redis_that_refuses_writes_instead_of_missing_workers(
    make_sale: MakeSale, redis: ReadOnly, reason: str
) -> None:
    make_sale(stock=7)
    observer = Observer()
    observer.look()
    with redis():
        seen = alarms(observer)
        left = [figures.left for figures in observer.look().sales]
    assert reason in seen["redis-read-only"]
    assert reason in seen["telemetry-read-only"]
    assert seen.keys().isdisjoint({"redis-down", "telemetry-down", "no-worker", "no-beat"})
    assert 7 in left
    assert "redis-read-only" not in alarms(observer)
