"""What each mail says, in text and HTML, in the language of its shopper, and only while it is true."""

import re
from email.message import EmailMessage
from html import unescape

import pytest
from django.db import connection
from django.utils import timezone

from conftest import MakeSale
from inventory.models import Sale
from mail.tests.conftest import MakeOrder, send, tell
from mail.tests.smtp_server import MailServer
from mail.tests.test_sending import outcome, parts
from orders import cancellation, caretaker, confirmation
from orders.models import Order, OutboxRow, Shipment
from orders.order_links import link_to
from orders.outbox import Event
from payments.models import Attempt, Refund
from tests.cast import end_holds

ARABIC = "\u062d\u0630\u0627\u0621"  # a shoe


def sent(server: MailServer) -> tuple[str, str]:
    """The subject and the text of the only mail."""
    send()
    [mail] = server.taken
    text, html = parts(mail)
    for line in text.splitlines():
        if line and line != "-- ":
            assert_is_in(line, html)
    return str(mail["Subject"]), text


def assert_is_in(line: str, html: str) -> None:
    """Each sentence, value and address of the text is in the HTML, too."""
    for word in re.split(r": |:$", line):
        assert word.strip() in unescape(html).replace("\u2011", "-"), word


def of(order: Order) -> str:
    return f"1 \u00d7 {order.bought}"


def be_expired(order: Order) -> None:
    end_holds(order.sale)
    caretaker.expire_holds()


def pay(order: Order, state: Attempt.State) -> None:
    attempt = Attempt.objects.create(
        order=order, provider="demo", amount=order.total, currency=order.currency, state=state
    )
    if state in (Attempt.State.REFUND_PENDING, Attempt.State.REFUNDED):
        Refund.objects.create(attempt=attempt, amount=attempt.amount)


def test_who_has_given_an_address_knows_until_when_it_is_held(
    make_order: MakeOrder, server: MailServer
) -> None:
    order = make_order(time_zone="Europe/Berlin")
    tell(order, Event.SECURED)
    subject, text = sent(server)
    assert subject == f"Held for you: {of(order)}"
    assert "is held for you until" in text
    assert "(Europe/Berlin, UTC+" in text
    assert link_to(order.pk, "checkout/") in text


def test_a_confirmed_order_has_a_summary_and_a_link(
    make_order: MakeOrder, server: MailServer
) -> None:
    order = make_order(price_note="incl. 19 % VAT")
    confirmation.confirm_hold(order.pk)
    subject, text = sent(server)
    assert subject == f"Order {order.reference} is confirmed"
    assert "Total: €129.00 (incl. 19 % VAT)" in text
    assert f"Product: {order.bought}" in text
    assert link_to(order.pk) in text


def test_a_confirmed_order_says_where_it_goes(make_order: MakeOrder, server: MailServer) -> None:
    home = {"street": "Hauptstr. 1", "postcode": "10115", "city": "Berlin", "country": "DE"}
    order = make_order(address={"name": "Anna Muster", **home})
    confirmation.confirm_hold(order.pk)
    _, text = sent(server)
    assert re.search(
        "Delivery: .*Anna Muster.*, .*Hauptstr. 1.*, .*10115 Berlin.*, .*Germany", text
    )


def test_it_speaks_german(make_order: MakeOrder, server: MailServer) -> None:
    order = make_order(language="de", time_zone="Europe/Berlin")
    confirmation.confirm_hold(order.pk)
    subject, text = sent(server)
    assert subject == f"Bestellung {order.reference} ist bestätigt"
    assert "Summe: 129,00\xa0€" in text
    assert server.taken[0]["Content-Language"] == "de"


@pytest.mark.parametrize("event", list(Event))
def test_no_letter_has_a_word_of_english_in_german(
    make_order: MakeOrder, server: MailServer, event: Event
) -> None:
    order = make_order(language="de")
    prepare(order, event)
    OutboxRow.objects.filter(order=order).update(due=None)
    tell(order, event, "de 1" if event == Event.FOUND else "x")
    _, text = sent(server)
    text = text.replace(order.reference, "")  # which may have "is" or "of" in it
    words = set(re.findall(r"[a-z]+", re.sub(r"https?://\S+", "", text).lower()))
    assert not words & {"your", "you", "order", "is", "the", "was", "held", "until", "this", "of"}


def prepare(order: Order, event: Event) -> None:
    """Make true what the event says."""
    if event == Event.EXPIRED:
        be_expired(order)
    elif event in (Event.CONFIRMED, Event.SHIPPED):
        confirmation.confirm_hold(order.pk)
    elif event in (Event.CANCELLED, Event.REFUNDED):
        cancellation.cancel_order(order.pk, by="staff")
    if event == Event.SHIPPED:
        Shipment.objects.create(
            order=order, carrier="DHL", tracking_number="12", tracking_url="https://d.example/12"
        )


def test_a_hold_that_is_about_to_end_is_warned_of_once(
    make_order: MakeOrder, server: MailServer
) -> None:
    order = make_order()
    send()
    assert server.taken == []
    end_holds(order.sale, 100)
    send()
    subject, text = sent(server)
    assert subject.startswith("Only a few minutes left")
    assert link_to(order.pk, "checkout/") in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "You were not charged."),
        (Attempt.State.FAILED, "You were not charged."),
        (Attempt.State.VOIDED, "You were not charged."),
        (Attempt.State.CREATED, "If you have paid, you will get your money back."),
        (Attempt.State.UNKNOWN, "If you have paid, you will get your money back."),
        (Attempt.State.AUTHORISED, "If you have paid, you will get your money back."),
        (Attempt.State.CAPTURED, "You will get €129.00 back."),
        (Attempt.State.REFUND_PENDING, "You will get €129.00 back."),
        (Attempt.State.REFUNDED, "Your money was paid back to you."),
    ],
)
def test_a_cancelled_order_says_what_becomes_of_the_money(
    make_order: MakeOrder, server: MailServer, state: Attempt.State | None, words: str
) -> None:
    order = make_order()
    if state:
        pay(order, state)
    cancellation.cancel_order(order.pk, by="staff")
    subject, text = sent(server)
    assert subject == f"Order {order.reference} is cancelled"
    assert words in text


def test_a_hold_that_was_given_back_does_not_read_as_cancelled(
    make_order: MakeOrder, server: MailServer
) -> None:
    order = make_order()
    cancellation.give_back(order.pk)
    subject, text = sent(server)
    assert subject == f"Order {order.reference}: given back"
    assert f"You gave {of(order)} back." in text
    assert "cancelled" not in text
    assert "You were not charged." in text


def test_an_expired_hold_is_told_of(make_order: MakeOrder, server: MailServer) -> None:
    order = make_order()
    be_expired(order)
    subject, text = sent(server)
    assert subject == f"No longer held: {of(order)}"
    assert "You were not charged." in text


def test_a_refund_names_its_amount(make_order: MakeOrder, server: MailServer) -> None:
    order = make_order()
    tell(order, Event.REFUNDED)
    _, text = sent(server)
    assert "We have paid back €129.00 to you" in text


def test_a_refund_of_another_amount_than_the_orders_names_that(
    make_order: MakeOrder, server: MailServer
) -> None:
    order = make_order()
    pay(order, Attempt.State.REFUNDED)
    Refund.objects.filter(attempt__order=order).update(
        amount=100, state=Refund.State.DONE, done_at=timezone.now()
    )
    tell(order, Event.REFUNDED)
    _, text = sent(server)
    assert "We have paid back €1.00 to you" in text


@pytest.mark.parametrize(
    ("url", "shown"), [("https://dhl.example/?n=1&z=2", True), ("javascript:alert(1)", False)]
)
def test_a_parcel_can_be_followed(
    make_order: MakeOrder, server: MailServer, url: str, shown: bool
) -> None:
    order = make_order()
    confirmation.confirm_hold(order.pk)
    OutboxRow.objects.filter(order=order).update(due=None)
    Shipment.objects.create(order=order, carrier="DHL", tracking_number="0034", tracking_url=url)
    tell(order, Event.SHIPPED)
    subject, text = sent(server)
    assert subject == f"Order {order.reference} is on its way"
    assert "Carrier: DHL" in text
    assert "Tracking number: 0034" in text
    assert (url in text) == shown


@pytest.mark.parametrize(
    "event",
    [Event.DRAWN, Event.SERVED, Event.SECURED, Event.EXPIRING, Event.EXPIRED, Event.CONFIRMED],
)
def test_what_is_not_true_any_more_is_not_sent(
    make_order: MakeOrder, server: MailServer, event: Event
) -> None:
    order = make_order()
    prepare(order, event)
    OutboxRow.objects.filter(order=order).update(due=None)
    row = tell(order, event, "x")
    if event == Event.EXPIRED:
        revive(order)
    elif event != Event.CONFIRMED:
        be_expired(order)
    else:
        cancellation.cancel_order(order.pk, by="staff")
    OutboxRow.objects.filter(order=order).exclude(pk=row.pk).update(due=None)
    send()
    assert server.taken == []
    assert outcome(row) == ("unneeded", "")


def revive(order: Order) -> None:
    """As a late payment does, while units are free."""
    order.refresh_from_db()
    Order.objects.filter(pk=order.pk).update(status="held", version=order.version + 1)
    end_holds(order.sale, 300)


@pytest.mark.parametrize("name", ['<b>"Shoe" & Co</b>', ARABIC, "{{ letter }} %(what)s"])
def test_a_name_is_text_and_turns_nothing(
    make_order: MakeOrder, make_sale: MakeSale, server: MailServer, name: str
) -> None:
    order = make_order()
    Sale.objects.filter(pk=order.sale_id).update(name=name)
    confirmation.confirm_hold(order.pk)
    send()
    text, html = parts(server.taken[0])
    assert f"Sale: {name}" in text.replace("\u2068", "").replace("\u2069", "")
    assert "<b>" not in html
    assert (f"\u2068{ARABIC}\u2069" in text) == (name == ARABIC)


def test_a_line_break_in_a_name_adds_no_header(make_order: MakeOrder, server: MailServer) -> None:
    order = make_order()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_order DISABLE TRIGGER order_final")
        cursor.execute(
            "UPDATE orders_order SET product_name = %s WHERE id = %s",
            ["Shoe\r\nBcc: all@b.example", order.pk],
        )
        cursor.execute("ALTER TABLE orders_order ENABLE TRIGGER order_final")
    tell(order, Event.SECURED)
    send()
    [mail] = server.taken
    assert mail["Bcc"] is None
    assert "Shoe Bcc: all@b.example" in str(mail["Subject"])


def test_a_mail_loads_nothing_from_elsewhere(make_order: MakeOrder, server: MailServer) -> None:
    confirmation.confirm_hold(make_order().pk)
    send()
    mail: EmailMessage = server.taken[0]
    _, html = parts(mail)
    assert not re.search(r"<(img|script|link|iframe)|url\(|@import|style=", html)


def test_a_mail_is_readable_in_the_dark(make_order: MakeOrder, server: MailServer) -> None:
    """A client that makes the background dark has a light text for it, and each colour its background."""
    confirmation.confirm_hold(make_order().pk)
    send()
    _, html = parts(server.taken[0])
    for name in ("color-scheme", "supported-color-schemes"):
        assert f'<meta name="{name}" content="light dark">' in html
    light, _, dark = html.partition("@media (prefers-color-scheme: dark)")
    for style in (light, dark):
        assert re.search(r"body {[^}]*color: #\w+; background: #\w+; }", style)
