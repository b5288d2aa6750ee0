"""`manage.py doctor` finds a mail server that is missing or away, and mails that are not sent."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from conftest import MakeSale
from flashsale import mail_servers
from inventory.models import Sale
from mail.tests import smtp_server
from ops.doctor import findings, mail_server
from ops.doctor.findings import Check, Finding, State
from orders import cancellation, settlement
from orders.models import OutboxRow
from tests.cast import queue_up


def one(check: Check) -> Finding:
    [finding] = findings.examine({"mail": [check]})
    return finding


def use(settings: Settings, url: str) -> None:
    for name, value in mail_servers.parse(url, "").items():
        setattr(settings, name, value)


def test_a_server_that_answers_is_well(settings: Settings) -> None:
    with smtp_server.running() as server:
        use(settings, f"smtp://127.0.0.1:{server.port}")
        finding = one(mail_server.check_mail_server)
    assert (finding.state, finding.seen[:14]) == (State.OK, "It is reached;")


def test_a_server_that_is_away_or_refuses_the_login_fails(settings: Settings) -> None:
    use(settings, f"smtp://127.0.0.1:{smtp_server.free_port()}")
    finding = one(mail_server.check_mail_server)
    assert finding.state == State.FAILED
    assert "cannot be reached: ConnectionRefusedError" in finding.seen
    with smtp_server.running() as server:
        use(settings, f"smtp://anna:sesame-9@127.0.0.1:{server.port}")
        finding = one(mail_server.check_mail_server)
    assert finding.state == State.FAILED
    assert "sesame-9" not in finding.seen


@pytest.mark.parametrize(("ask", "state"), [("email", State.WARNING), ("", State.OK)])
def test_without_a_server_the_mails_of_a_sale_would_wait(
    settings: Settings, make_sale: MakeSale, ask: str, state: State
) -> None:
    settings.MAIL_IS_SENT = False
    Sale.objects.filter(finished=False, status="draft").exclude(ask="").update(ask="")
    sale = make_sale(hold=10, live=False)
    Sale.objects.filter(pk=sale.pk).update(ask=ask)
    assert one(mail_server.check_mail_server).state == state
    sale.delete()


def test_mails_in_files_reach_no_shopper(settings: Settings) -> None:
    settings.EMAIL_BACKEND = mail_servers.FOLDER
    assert one(mail_server.check_mail_server).state == State.OK
    settings.PRODUCTION = True
    assert one(mail_server.check_mail_server).state == State.WARNING


def test_mails_that_wait_or_were_given_up_are_a_warning(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1, hold=10)
    [order] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    # Now: with the sale's gate the holds of other tests came to their end.
    OutboxRow.objects.filter(due__isnull=False).update(due=None)
    OutboxRow.objects.filter(outcome="failed").update(outcome="unneeded")
    cancellation.cancel_order(order, by="staff")
    row = OutboxRow.objects.filter(order=order, consumer="mail")
    assert one(mail_server.check_outbox).state == State.OK
    row.update(at=timezone.now() - timedelta(minutes=6))
    assert one(mail_server.check_outbox).state == State.WARNING
    row.update(due=None, outcome="failed")
    finding = one(mail_server.check_outbox)
    assert finding.state == State.WARNING
    assert finding.seen.endswith(" mails wait; 1 of the last day were given up.")


def test_no_key_of_a_mail_service_is_printed(settings: Settings) -> None:
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "token-12345", "MAILGUN_REGION": "europe"}

    def check() -> list[Finding]:
        return [findings.ok("mail", "token-12345 in europe")]

    assert one(check).seen == "*** in europe"
