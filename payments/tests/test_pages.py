"""The demo provider's page, and the address where providers send their events."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from flashsale.http import signing
from flashsale.observe import telemetry
from orders.models import Order
from payments import paying
from payments.models import DemoPayment, ProviderEvent
from payments.pages import LARGEST_EVENT
from payments.providers import demo
from payments.tests.cast import assert_money_balances, attempt_of, begin, reconcile
from payments.tests.test_races import event_of


@pytest.fixture
def client() -> Client:
    return Client(enforce_csrf_checks=True)


def choose(client: Client, url: str, choice: str) -> Any:
    token = client.get(url).cookies["csrftoken"].value
    return client.post(url, {"choice": choice, "csrfmiddlewaretoken": token})


def test_the_page_says_what_is_paid_and_that_no_money_moves(client: Client, order: Order) -> None:
    page = client.get(begin(order))
    assert page.status_code == 200
    assert "€129.00" in page.text
    assert "no money moves" in page.text
    assert "<script" not in page.text
    assert page["X-Robots-Tag"] == "noindex"
    assert "no-store" in page["Cache-Control"]


def test_the_page_is_german_too(client: Client, order: Order) -> None:
    page = client.get(begin(order, language="de"))
    assert "Es fließt kein Geld" in page.text
    assert '<html lang="de">' in page.text
    assert page["Content-Language"] == "de"


def test_the_page_keeps_the_language_of_the_checkout(client: Client, order: Order) -> None:
    page = client.get(begin(order, language="en"), headers={"Accept-Language": "de"})
    assert "no money moves" in page.text
    assert page["Content-Language"] == "en"


@pytest.mark.parametrize(
    ("choice", "stage"),
    [("pay", "paid"), ("twice", "paid"), ("decline", "failed"), ("slow", "open")],
)
def test_a_choice_leads_back_to_the_shop(
    client: Client, order: Order, choice: str, stage: str
) -> None:
    answer = choose(client, begin(order), choice)
    assert (answer.status_code, answer["Location"]) == (303, "/orders/1/checkout/back")
    paying.returned(order.pk)
    reconcile()
    view = paying.describe(order.pk)
    assert view
    assert view.stage == stage
    assert_money_balances(order)


def test_who_pays_and_leaves_has_paid(client: Client, order: Order) -> None:
    url = begin(order)
    answer = choose(client, url, "leave")
    assert answer.status_code == 200
    reconcile()
    view = paying.describe(order.pk)
    assert view
    assert view.stage == "paid"
    assert "<form" not in client.get(url).text


def test_the_page_takes_no_form_of_another_site(client: Client, order: Order) -> None:
    assert client.post(begin(order), {"choice": "pay"}).status_code == 403


def test_an_unknown_payment_is_a_404(client: Client) -> None:
    assert client.get(f"/payments/demo/{uuid4()}/").status_code == 404


def test_a_shop_without_the_demo_provider_has_no_such_page(
    client: Client, order: Order, settings: Any
) -> None:
    url = begin(order)
    settings.PAYMENT_PROVIDERS = []
    assert client.get(url).status_code == 404
    assert client.post("/payments/demo/events").status_code == 404


# --- Events ------------------------------------------------------------------------------------------


def send(client: Client, body: bytes, headers: dict[str, str]) -> int:
    answer = client.post("/payments/demo/events", body, "application/json", headers=headers)
    return answer.status_code


def test_an_event_is_written_down_once(client: Client, order: Order) -> None:
    begin(order)
    event = event_of(attempt_of(order))
    before = ProviderEvent.objects.count()
    assert [send(client, *event) for _ in range(3)] == [200, 200, 200]
    assert ProviderEvent.objects.count() == before + 1


def test_an_event_about_a_payment_of_another_shop_is_taken(client: Client) -> None:
    """Stripe sends those of all shops of an account: texts of theirs may be longer than ours."""
    payment = DemoPayment(id=uuid4(), state="captured")
    body, _ = demo._event(payment, "k" * 200)
    body = body.replace(str(payment.pk).encode(), b"r" * 500)
    event = body, {demo.SIGNATURE: signing.sign(demo._PURPOSE, body).hex()}
    assert [send(client, *event) for _ in range(2)] == [200, 200]
    reconcile()


@pytest.mark.parametrize("signature", ["", "00", "not hex", "0" * 32])
def test_a_forged_event_is_refused_and_counted(
    client: Client, order: Order, signature: str
) -> None:
    begin(order)
    body, _ = event_of(attempt_of(order))
    counted = telemetry._sales[telemetry.ALL]["payments|0|forged"]
    before = ProviderEvent.objects.count()
    assert send(client, body, {"Demo-Signature": signature}) == 400
    assert ProviderEvent.objects.count() == before
    assert telemetry._sales[telemetry.ALL]["payments|0|forged"] == counted + 1


def test_a_large_event_is_not_read(client: Client) -> None:
    assert send(client, b"x" * (LARGEST_EVENT + 1), {}) == 413


def test_events_are_posted(client: Client) -> None:
    assert client.get("/payments/demo/events").status_code == 405
    assert client.post("/payments/unknown/events", b"{}", "application/json").status_code == 404
