"""An empty outbox, a mail server, and orders with a contact."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from accounts import contacts
from conftest import MakeSale
from flashsale import mail_servers
from inventory.models import Sale
from mail import sending
from mail.tests import smtp_server
from mail.tests.smtp_server import MailServer
from orders import caretaker, outbox, sale_lifecycle, settlement
from orders.models import Order, OutboxRow
from orders.outbox import Event
from tests.cast import queue_up, run_caretaker

MakeOrder = Callable[..., Order]


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have left is not due, their holds have ended, and no pause of theirs goes on."""
    caretaker.expire_holds()
    OutboxRow.objects.filter(due__isnull=False).update(due=None)
    monkeypatch.setattr(sending, "_pauses", sending._Pauses())


@pytest.fixture
def server(settings: Settings) -> Iterator[MailServer]:
    with smtp_server.running() as running:
        use(settings, running)
        yield running


def use(settings: Settings, server: MailServer) -> None:
    """What a start with this server's EMAIL_URL sets."""
    for name, value in mail_servers.parse(f"smtp://127.0.0.1:{server.port}", "").items():
        setattr(settings, name, value)


@pytest.fixture
def make_order(make_sale: MakeSale) -> MakeOrder:
    """Makes a held order of a sale that asks for an address, with a contact unless `email` is ""."""

    def make(
        email: str = "anna@shop.example",
        language: str = "en",
        hold: int = 10,
        address: Mapping[str, str] = MappingProxyType({}),
        **changed: object,
    ) -> Order:
        sale = make_sale(stock=1, hold=hold, live=False)
        Sale.objects.filter(pk=sale.pk).update(ask="email", **changed)
        sale_lifecycle.schedule(sale.pk, by="staff")
        run_caretaker()
        [purchase] = queue_up(sale, 1)
        settlement.settle(sale.pk)
        if email:
            with transaction.atomic():
                contacts.save(
                    purchase,
                    contacts.Details(email=email, **address),
                    language=language,
                    accepted_terms=False,
                )
        return Order.objects.get(pk=purchase)

    return make


def tell(order: Order, event: Event, detail: str = "") -> OutboxRow:
    with transaction.atomic():
        outbox.tell([order.pk], event, detail)
    return OutboxRow.objects.get(order=order, event=event, detail=detail, consumer="mail")


def send() -> None:
    """One round of a process that has not tried for long, and in which all that waits is due."""
    sending._pauses = sending._Pauses()
    OutboxRow.objects.filter(consumer="mail", due__isnull=False).update(due=timezone.now())
    sending.send_mail()
