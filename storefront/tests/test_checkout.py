"""From the checkout to the payment and back. The payment is played here, and nowhere else."""

import asyncio
import re
import threading
from dataclasses import dataclass, field
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.test import Client
from django.test.html import parse_html

from accounts import contacts
from conftest import MakeSale
from flashsale.http import shoppers
from inventory.models import Sale
from orders import cancellation, confirmation, holds, outbox
from orders.changes import NotPossible
from orders.models import Order, OutboxRow
from payments import paying
from storefront import checkout, order_access
from storefront.address_form import CheckoutForm
from tests import deadlines
from tests.cast import end_holds
from tests.checkouts import ANNA, TERMS, held_order, page_of, sale_with_checkout

ELSEWHERE = "https://pay.example/session/1"


@dataclass
class Played:
    """Stands in for `payments/paying.py`: what was asked of it, and what it says."""

    to: str = ELSEWHERE
    fails: Exception | None = None
    stage: str = ""
    confirms: bool = False
    begun: list[dict[str, str]] = field(default_factory=list)
    asked: list[UUID] = field(default_factory=list)

    def begin(self, order: UUID, **given: str) -> str:
        self.begun.append(given)
        if self.fails:
            raise self.fails
        return self.to

    def returned(self, order: UUID) -> None:
        self.asked.append(order)
        if self.confirms:
            confirmation.confirm_hold(order)

    def describe(self, order: UUID) -> paying.PaymentView | None:
        return paying.PaymentView(self.stage, 12900, "EUR", "demo", "1") if self.stage else None


@pytest.fixture
def payment(monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played()
    for name in ("begin", "returned", "describe"):
        monkeypatch.setattr(paying, name, getattr(played, name))
    return played


@pytest.fixture
def order(make_sale: MakeSale) -> Order:
    sale = sale_with_checkout(make_sale, payment="demo")
    return held_order(sale, shoppers.new_shopper())


@pytest.fixture
def browser(order: Order) -> Client:
    browser = Client()
    browser.cookies[shoppers.cookie_name(False)] = shoppers.cookie_value(order.shopper)
    return browser


def pay(browser: Client, order: Order, **fields: str) -> tuple[int, str, str]:
    """Status, address and page of the answer to the form."""
    reply = browser.post(page_of(order.pk), {**ANNA, **fields})
    return reply.status_code, reply.headers.get("Location", ""), reply.content.decode()


def test_a_page_of_our_own_is_reached_by_a_redirect(
    browser: Client, order: Order, payment: Played
) -> None:
    payment.to = "http://testserver/payments/demo/1/"
    assert pay(browser, order)[:2] == (303, payment.to)
    assert payment.begun == [
        {
            "back": f"http://testserver/orders/{order.pk}/checkout/back",
            "language": "en",
            "email": "anna@example.com",
        }
    ]
    assert contacts.read(order.pk)


def test_another_site_is_reached_by_a_page_since_the_policy_forbids_the_redirect(
    browser: Client, order: Order, payment: Played
) -> None:
    payment.to = f"{ELSEWHERE}?a=1&b=<"
    status, _, page = pay(browser, order)
    assert status == 200
    assert '<meta http-equiv="refresh" content="0; url=https://pay.example/' in page
    assert 'href="https://pay.example/session/1?a=1&amp;b=&lt;"' in page


@pytest.mark.parametrize("fails", [paying.Unavailable("away", retry_after=7), TimeoutError()])
def test_a_service_that_is_away_costs_neither_hold_nor_text(
    fails: Exception, browser: Client, order: Order, payment: Played
) -> None:
    payment.fails = fails
    reply = browser.post(page_of(order.pk), ANNA)
    assert reply.status_code == 503
    assert reply["Retry-After"] == ("7" if isinstance(fails, paying.Unavailable) else "5")
    page = reply.content.decode()
    assert "does not answer" in page
    assert 'value="Anna Öz"' in page
    order.refresh_from_db()
    assert order.status == "held"
    assert 'value="Anna Öz"' in browser.get(page_of(order.pk)).content.decode()


def test_a_service_that_dawdles_is_waited_for_so_long_and_no_longer(
    browser: Client, order: Order, payment: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "PAYMENT_PATIENCE", 0.0)
    assert pay(browser, order)[0] == 503


def test_what_cannot_be_paid_any_more_shows_why(
    browser: Client, order: Order, payment: Played
) -> None:
    payment.fails = NotPossible("The order has expired.")
    assert pay(browser, order)[:2] == (303, f"{page_of(order.pk)}?returned=1")


def test_what_is_free_is_confirmed_without_a_payment(make_sale: MakeSale, payment: Played) -> None:
    sale = sale_with_checkout(make_sale, payment="demo", price=0)
    order = held_order(sale, shoppers.new_shopper())
    assert order.total == 0
    browser = Client()
    browser.cookies[shoppers.cookie_name(False)] = shoppers.cookie_value(order.shopper)
    assert "Confirm the order" in browser.get(page_of(order.pk)).content.decode()
    assert pay(browser, order)[:2] == (303, f"/orders/{order.pk}/")
    assert payment.begun == []
    order.refresh_from_db()
    assert order.status == "confirmed"


def test_mails_are_in_the_language_of_the_page(
    browser: Client, order: Order, payment: Played
) -> None:
    browser.post(page_of(order.pk), ANNA, headers={"Accept-Language": "de"})
    saved = contacts.read(order.pk)
    assert saved
    assert saved.language == payment.begun[0]["language"] == "de"


def test_terms_that_were_accepted_stay_ticked_when_a_payment_fails(
    make_sale: MakeSale, payment: Played
) -> None:
    order = held_order(
        sale_with_checkout(make_sale, payment="demo", terms=TERMS), shoppers.new_shopper()
    )
    browser = Client()
    browser.cookies[shoppers.cookie_name(False)] = shoppers.cookie_value(order.shopper)
    ticked = 'name="terms" required id="id_terms" checked'
    assert ticked not in browser.get(page_of(order.pk)).content.decode()
    pay(browser, order, terms="on")
    payment.stage = "failed"
    assert ticked in browser.get(page_of(order.pk)).content.decode()


def test_the_order_is_secured_once_however_often_it_is_sent(
    browser: Client, order: Order, payment: Played
) -> None:
    for _ in range(3):
        pay(browser, order)
    told = OutboxRow.objects.filter(order=order, event=outbox.Event.SECURED)
    assert order.hold_until
    assert [row.detail for row in told] == [order.hold_until.isoformat()]


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("failed", "nothing was charged"),
        ("open", "No payment has arrived yet"),
        ("", "No payment has arrived yet"),
    ],
)
def test_who_comes_back_without_having_paid_reads_why_and_can_go_on(
    stage: str, words: str, browser: Client, order: Order, payment: Played
) -> None:
    payment.stage = stage
    reply = browser.get(f"{page_of(order.pk)}back")
    assert payment.asked == [order.pk]
    page = browser.get(reply["Location"])
    assert page.status_code == 200
    assert words in page.content.decode()
    assert "Pay €129.00" in page.content.decode()


@pytest.mark.parametrize("is_known", [True, False])
def test_beside_the_form_an_open_payment_is_looked_at_again_for_a_minute(
    is_known: bool, browser: Client, order: Order, payment: Played
) -> None:
    if is_known:
        pay(browser, order)
    payment.stage = "open"
    waited, address = [], f"{page_of(order.pk)}back"
    while address:
        page = browser.get(browser.get(address)["Location"]).content.decode()
        assert "Pay €129.00" in page  # who has turned back can go on
        assert ('value="Anna Öz"' in page) == is_known
        refresh = re.search(
            r'<noscript><meta http-equiv="refresh" content="(\d+); url=([^"]+)', page
        )
        assert ("this page looks again by itself" in page) == bool(refresh)
        address = refresh[2] if refresh else ""
        waited += [int(refresh[1])] if refresh else []
    assert 30 < sum(waited) < 60
    assert len(payment.asked) == len(waited) + 1
    assert "refresh" not in browser.get(page_of(order.pk)).content.decode()


def test_who_comes_back_having_paid_is_at_the_order(
    browser: Client, order: Order, payment: Played
) -> None:
    payment.confirms = True
    assert browser.get(f"{page_of(order.pk)}back")["Location"] == f"/orders/{order.pk}/"


@pytest.mark.parametrize("stage", ["taking", "unknown"])
def test_a_payment_that_is_checked_is_looked_at_again_and_not_for_ever(
    stage: str, browser: Client, order: Order, payment: Played
) -> None:
    payment.stage = stage
    looks, address = 0, f"{page_of(order.pk)}back"
    while address:
        page = browser.get(browser.get(address)["Location"]).content.decode()
        assert "Your payment is being checked" in page
        assert 'name="email"' not in page
        _, refreshes, rest = page.partition('http-equiv="refresh" content="')
        address = rest.partition("url=")[2].partition('"')[0] if refreshes else ""
        looks += 1
    assert looks == 20
    assert pay(browser, order)[0] == 200  # it is not paid twice
    assert payment.begun == []


def test_an_order_that_is_captured_is_not_paid_again(
    browser: Client, order: Order, payment: Played
) -> None:
    Order.objects.filter(pk=order.pk).update(capturing=True)
    pay(browser, order)
    assert payment.begun == []
    Order.objects.filter(pk=order.pk).update(capturing=False)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("", "on sale again"),
        ("", "Nothing was charged"),
        ("unknown", "If you have paid"),
        ("failed", "Nothing was charged"),
        ("refund_pending", "is being given back"),
        ("refunded", "was given back"),
    ],
)
def test_after_the_end_of_the_hold_the_page_says_what_became_of_the_money(
    stage: str, words: str, browser: Client, order: Order, payment: Played
) -> None:
    end_holds(order.sale)
    holds.expire(order.sale_id, [order.variant_id or 0])
    payment.stage = stage
    page = browser.get(page_of(order.pk))
    assert page.status_code == 410
    assert words in page.content.decode()
    assert pay(browser, order)[0] == 410


@pytest.mark.parametrize("by", ["its shopper", "staff"])
def test_after_a_cancellation_the_page_says_whose_it_was(
    by: str, browser: Client, order: Order, payment: Played
) -> None:
    if by == "staff":
        cancellation.cancel_order(order.pk, by="staff")
    else:
        cancellation.give_back(order.pk)
    for reply in (browser.get(page_of(order.pk)), browser.post(page_of(order.pk), ANNA)):
        assert reply.status_code == 410
        page = reply.content.decode()
        assert ("You gave" in page) == (by != "staff")
        assert ("was cancelled" in page) == (by == "staff")


def test_a_form_that_meets_the_end_of_the_hold_is_not_saved(order: Order) -> None:
    """It was held as the page was read, and is not any more as it is saved."""
    form = CheckoutForm(order.sale, "DE", ANNA)
    assert form.is_valid()
    cancellation.give_back(order.pk)
    with pytest.raises(NotPossible):
        checkout._save(order, form, "en")
    assert contacts.read(order.pk) is None


def test_a_contact_that_no_key_opens_stands_in_nobodys_way(
    browser: Client, order: Order, payment: Played, settings: LazySettings
) -> None:
    settings.CONTACT_KEYS = [Fernet.generate_key().decode()]
    pay(browser, order)
    settings.CONTACT_KEYS = []
    page = browser.get(page_of(order.pk))
    assert page.status_code == 200
    assert 'value="Anna Öz"' not in page.content.decode()
    assert pay(browser, order)[0] == 200
    assert contacts.read(order.pk)


def test_a_shopper_who_asks_again_and_again_takes_one_thread() -> None:
    """The provider answers the one only after the other, and the one sends more requests than there are
    threads."""
    answers = threading.Event()
    asked: list[UUID] = []
    hasty, other = uuid4(), uuid4()
    many = checkout._threads._max_workers + 1

    def ask(order: UUID) -> None:
        asked.append(order)
        if order == other:
            answers.set()
        assert answers.wait(deadlines.seconds(60))

    async def ask_at_once() -> None:
        orders = [*[hasty] * many, other]
        asking = [asyncio.create_task(checkout._in_payment_thread(o, ask, o)) for o in orders]
        await asyncio.gather(*asking)

    asyncio.run(ask_at_once())
    assert asked[:2] == [hasty, other]
    assert asked.count(hasty) == many


def test_a_key_of_another_order_or_none_opens_nothing(order: Order) -> None:
    stranger = Client()
    assert stranger.get(page_of(order.pk)).status_code == 404
    stranger.cookies[order_access.KEY_COOKIE] = "A" * 22
    assert stranger.get(page_of(order.pk)).status_code == 404


# --- The page that is rendered once for all ------------------------------------------------------


def as_shown(page: bytes) -> object:
    """What a browser makes of the page, without what differs from one second to the next."""
    text = re.sub(r'(name="csrfmiddlewaretoken" value|data-now)="[^"]*"', r'\1=""', page.decode())
    return parse_html(re.sub(r"\n[ \t]+", "\n", text))


@pytest.mark.parametrize(("stage", "query"), [("", ""), ("failed", "?returned=1")])
def test_a_blank_form_is_the_page_that_is_rendered_for_each(
    browser: Client, order: Order, payment: Played, stage: str, query: str
) -> None:
    payment.stage = stage
    kept = browser.get(f"{page_of(order.pk)}{query}").content
    with patch.object(checkout, "Details", lambda: None):  # nothing is blank
        assert as_shown(browser.get(f"{page_of(order.pk)}{query}").content) == as_shown(kept)


def test_two_shoppers_have_each_their_own_order_on_it(make_sale: MakeSale) -> None:
    sale = sale_with_checkout(make_sale)
    orders = [held_order(sale, shoppers.new_shopper()) for _ in range(2)]
    tokens = set()
    for mine, other in zip(orders, reversed(orders), strict=True):
        browser = Client()
        browser.cookies[shoppers.cookie_name(False)] = shoppers.cookie_value(mine.shopper)
        page = browser.get(page_of(mine.pk)).content.decode()
        assert page.count(str(mine.pk)) == 5
        assert mine.reference in page
        assert str(other.pk) not in page
        tokens |= set(re.findall(r'name="csrfmiddlewaretoken" value="(\w{64})"', page))
    assert len(tokens) == 2


def test_it_follows_what_staff_change(browser: Client, order: Order) -> None:
    for note in ("incl. VAT", "plus shipping"):
        Sale.objects.filter(pk=order.sale_id).update(price_note=note)
        assert note in browser.get(page_of(order.pk)).content.decode()
