"""What a sale with a checkout says before the click and after it, and a sale without one does not."""

from typing import Any
from uuid import UUID

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import confirmation, sale_lifecycle
from orders.models import Order
from orders.settlement import settle
from tests.cast import PAGE, Shopper, run_caretaker

GERMAN = {**PAGE, "Accept-Language": "de"}
NOTE = "incl. 19 % VAT & shipping"


def with_checkout(make_sale: MakeSale, **rules: Any) -> Sale:
    sale = make_sale(live=False, hold=10)
    Sale.objects.filter(pk=sale.pk).update(**rules)
    sale_lifecycle.schedule(sale.pk, by="staff")
    run_caretaker()
    return sale


def bought(shopper: Shopper, sale: Sale) -> Order:
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    return Order.objects.get(pk=UUID(purchase))


def page(shopper: Shopper, address: str, headers: dict[str, str] = PAGE) -> str:
    return shopper.client.get(address, headers=headers).text


def test_a_sale_says_before_the_click_what_comes_after_it(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = with_checkout(make_sale, ask="address", payment="demo", price_note=NOTE)
    shown = page(shopper, f"/sales/{sale.slug}/")
    assert "Held for 10 minutes while you check out: e-mail, address, payment" in shown
    assert "<bdi>incl. 19 % VAT &amp; shipping</bdi>" in shown
    german = page(shopper, f"/sales/{sale.slug}/", GERMAN)
    assert "An der Kasse für 10 Minuten reserviert: E-Mail, Adresse, Zahlung" in german
    told = shopper.sale(sale)
    rules = {rule: told[rule] for rule in ("hold_minutes", "ask", "payment", "price_note")}
    assert rules == {
        "hold_minutes": 10,
        "ask": "address",
        "payment": "demo",
        "price_note": NOTE,
    }


@pytest.mark.parametrize(
    ("ask", "payment", "said"),
    [
        ("", "", "while you check out<"),
        ("email", "", "while you check out: e-mail<"),
        ("email", "demo", "while you check out: e-mail and payment<"),
        ("address", "", "while you check out: e-mail and address<"),
        ("", "demo", "while you check out: payment<"),
    ],
)
def test_it_names_only_what_is_asked(
    ask: str, payment: str, said: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = with_checkout(make_sale, ask=ask, payment=payment)
    assert said in page(shopper, f"/sales/{sale.slug}/")


@pytest.mark.parametrize("where", ["sale", "order"])
def test_a_hold_leads_to_its_checkout(where: str, shopper: Shopper, make_sale: MakeSale) -> None:
    sale = with_checkout(make_sale, ask="email", price_note=NOTE)
    order = bought(shopper, sale)
    address = f"/sales/{sale.slug}/" if where == "sale" else f"/orders/{order.pk}/"
    checkout = f'href="/orders/{order.pk}/checkout/"'
    shown = page(shopper, address)
    assert f'<a class="button" {checkout}>Go to checkout</a>' in shown
    assert "incl. 19 % VAT &amp; shipping" in shown
    assert f'<a class="button" {checkout}>Zur Kasse</a>' in page(shopper, address, GERMAN)
    assert shopper.order(str(order.pk)).json()["checkout"] == f"/orders/{order.pk}/checkout/"


@pytest.mark.parametrize(
    ("payment", "said", "in_german"),
    [("demo", "Paid.", "Bezahlt."), ("", "Confirmed.", "Bestätigt.")],
)
def test_what_its_checkout_confirmed_is_called_so(
    payment: str, said: str, in_german: str, shopper: Shopper, make_sale: MakeSale
) -> None:
    order = bought(shopper, with_checkout(make_sale, ask="email", payment=payment))
    confirmation.confirm_hold(order.pk)
    shown = page(shopper, f"/orders/{order.pk}/")
    assert f"<strong>{said}</strong>" in shown
    assert "Go to checkout" not in shown
    assert f"<strong>{in_german}</strong>" in page(shopper, f"/orders/{order.pk}/", GERMAN)
    assert "checkout" not in shopper.order(str(order.pk)).json()


def test_a_sale_without_a_checkout_says_nothing_of_one(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    order = bought(shopper, sale)
    told = shopper.sale(sale)
    assert not {"hold_minutes", "ask", "payment", "price_note"} & told.keys()
    assert "checkout" not in shopper.order(str(order.pk)).json()
    for address in (f"/sales/{sale.slug}/", f"/orders/{order.pk}/"):
        shown = page(shopper, address)
        assert "checkout" not in shown
        assert "check out" not in shown
        assert "price-note" not in shown
        assert "<strong>Secured!</strong>" in shown
