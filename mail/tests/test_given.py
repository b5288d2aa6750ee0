"""Who is given a unit while away reads it in a mail: winners of a draw, and the next on standby."""

from uuid import UUID, uuid4

import pytest
from django.db import transaction
from pytest_django import Settings

from accounts import contacts, people
from conftest import MakeSale
from inventory.models import Sale
from mail.tests import smtp_server
from mail.tests.conftest import send, use
from mail.tests.smtp_server import MailServer
from mail.tests.test_sending import outcome, parts
from orders import cancellation, caretaker, confirmation, settlement
from orders.models import Order, OutboxRow
from orders.order_links import link_to
from orders.order_status import Status
from orders.tickets import new_purchase
from tests.cast import bring_draw_forward, click, end_holds

GIVEN = ("drawn", "served")


@pytest.fixture
def anna() -> str:
    return f"Anna-{uuid4().hex}@shop.example"


@pytest.fixture
def ben() -> str:
    return f"ben-{uuid4().hex}@shop.example"


def enter(sale: Sale, email: str = "", language: str = "en") -> Order:
    """A click of a shopper who has signed in, or has not."""
    shopper = people.sign_in(email, None, language).shopper if email else None
    purchase = new_purchase(sale.pk)
    assert click(sale, purchase, shopper).code == "queued"
    settlement.settle(sale.pk)
    return Order.objects.get(pk=purchase)


def draw(sale: Sale) -> None:
    bring_draw_forward(sale)
    caretaker.advance_draws()


def status(order: Order) -> str:
    order.refresh_from_db()
    return order.status


def told(order: Order) -> OutboxRow:
    return OutboxRow.objects.get(order=order, event__in=GIVEN)


def bring_back(sale: Sale, order: Order) -> None:
    """Have the order give its unit back, of which no mail is sent, and the next one get it."""
    cancellation.cancel_order(order.pk, by="staff")
    OutboxRow.objects.filter(order=order).update(due=None)
    caretaker.serve_standby()


def test_winners_of_a_draw_get_a_mail_and_nobody_else(
    make_sale: MakeSale, server: MailServer, anna: str, ben: str
) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60)
    Sale.objects.filter(pk=sale.pk).update(time_zone="Europe/Berlin")
    orders = {email: enter(sale, email) for email in (anna, ben)}
    draw(sale)
    send()
    send()
    [won] = [email for email, order in orders.items() if status(order) == Status.HELD]
    [mail] = server.taken
    text, html = parts(mail)
    assert mail["To"] == won
    assert mail["Subject"] == f"You were drawn: 1 \u00d7 {orders[won].bought}"
    assert "is held for you until" in text
    assert "(Europe/Berlin, UTC+" in text
    for path in ("", "checkout/"):
        assert link_to(orders[won].pk, path) in text
        assert link_to(orders[won].pk, path) in html
    assert OutboxRow.objects.filter(order__sale=sale).count() == 1


def test_the_next_on_standby_gets_a_mail(
    make_sale: MakeSale, server: MailServer, anna: str
) -> None:
    sale = make_sale(stock=1, hold=60, standby=True)
    first, second, third = enter(sale), enter(sale, anna), enter(sale)
    bring_back(sale, first)
    send()
    [mail] = server.taken
    assert mail["To"] == anna
    assert mail["Subject"] == f"It is your turn: 1 \u00d7 {second.bought}"
    assert link_to(second.pk) in parts(mail)[0]
    assert [status(each) for each in (second, third)] == ["held", "waiting"]
    assert not OutboxRow.objects.filter(order__in=(first, third), event__in=GIVEN).exists()


def test_a_loser_of_a_draw_reads_of_standby(
    make_sale: MakeSale, server: MailServer, anna: str, ben: str
) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60, standby=True)
    orders = [enter(sale, email) for email in (anna, ben)]
    draw(sale)
    [won] = [order for order in orders if status(order) == Status.HELD]
    OutboxRow.objects.filter(order=won).update(due=None)
    bring_back(sale, won)
    [lost] = [order for order in orders if order != won]
    assert (status(lost), told(lost).event) == ("held", "served")


def test_the_mail_is_in_the_language_in_which_the_shopper_signed_in(
    make_sale: MakeSale, server: MailServer, anna: str
) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60)
    order = enter(sale, anna, "de")
    draw(sale)
    send()
    [mail] = server.taken
    assert mail["Subject"] == f"Du wurdest gezogen: 1 \u00d7 {order.bought}"
    assert mail["Content-Language"] == "de"


def test_without_a_known_address_no_mail_is_sent(make_sale: MakeSale, server: MailServer) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60)
    order = enter(sale)
    draw(sale)
    send()
    assert outcome(told(order)) == ("unneeded", "")
    assert server.taken == []


def test_a_click_that_gets_its_unit_at_once_is_not_told_of(
    make_sale: MakeSale, server: MailServer, anna: str
) -> None:
    order = enter(make_sale(stock=1, hold=60), anna)
    send()
    assert status(order) == Status.HELD
    assert not OutboxRow.objects.filter(order=order).exists()


def test_without_a_hold_there_is_nothing_to_do_and_no_mail(
    make_sale: MakeSale, server: MailServer, anna: str
) -> None:
    sale = make_sale(stock=1, draw_in=60)
    order = enter(sale, anna)
    draw(sale)
    assert status(order) == Status.CONFIRMED
    assert not OutboxRow.objects.filter(order=order).exists()


def give_contact(order: UUID, email: str) -> None:
    with transaction.atomic():
        contacts.save(order, contacts.Details(email=email), language="en", accepted_terms=False)


def test_the_address_of_the_checkout_comes_first(
    make_sale: MakeSale, server: MailServer, anna: str, ben: str
) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60)
    order = enter(sale, anna)
    draw(sale)
    give_contact(order.pk, ben)
    send()
    [mail] = server.taken
    assert mail["To"] == ben


def test_who_was_erased_or_forgotten_gets_no_mail(
    make_sale: MakeSale, server: MailServer, anna: str, ben: str
) -> None:
    sale = make_sale(stock=2, hold=60, draw_in=60)
    orders = [enter(sale, email) for email in (anna, ben)]
    draw(sale)
    give_contact(orders[0].pk, anna)
    contacts.erase([orders[0].pk])
    people.forget(ben)
    send()
    assert server.taken == []
    assert [outcome(told(order))[0] for order in orders] == ["unneeded", "unneeded"]


@pytest.mark.parametrize("end", ["expired", "confirmed", "cancelled"])
def test_what_is_not_true_any_more_is_not_sent(
    make_sale: MakeSale, server: MailServer, anna: str, end: str
) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60)
    order = enter(sale, anna)
    draw(sale)
    if end == "expired":
        end_holds(sale)
    elif end == "confirmed":
        confirmation.confirm_hold(order.pk)
    else:
        cancellation.give_back(order.pk)
    send()
    assert server.taken == []
    assert outcome(told(order)) == ("unneeded", "")


def test_the_mail_waits_for_a_server_that_is_away(
    make_sale: MakeSale, settings: Settings, anna: str
) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60)
    order = enter(sale, anna)
    away = MailServer(port=smtp_server.free_port())
    use(settings, away)
    draw(sale)
    send()
    assert outcome(told(order)) == (
        "",
        "the mail server cannot be reached: ConnectionRefusedError",
    )
    with smtp_server.running(away.port) as back:
        send()
        assert [mail["To"] for mail in back.taken] == [anna]
    assert outcome(told(order)) == ("done", "")


def test_the_mail_waits_for_a_key_that_is_missing(
    make_sale: MakeSale, server: MailServer, settings: Settings, anna: str
) -> None:
    sale = make_sale(stock=1, hold=60, draw_in=60)
    order = enter(sale, anna)
    draw(sale)
    key = settings.SECRET_KEY
    settings.SECRET_KEY = "another key"
    send()
    done, problem = outcome(told(order))
    assert (done, anna in problem, "SECRET_KEY_FALLBACKS" in problem) == ("", False, True)
    settings.SECRET_KEY = key
    send()
    assert [mail["To"] for mail in server.taken] == [anna]
