"""Mails are sent once, and wait for a server that is away, slow or full."""

from contextlib import suppress
from datetime import timedelta
from email.message import EmailMessage

import pytest
from django.utils import timezone
from pytest_django import Settings

from flashsale.observe import telemetry
from mail import sending
from mail.tests import smtp_server
from mail.tests.conftest import MakeOrder, send, tell, use
from mail.tests.smtp_server import MailServer
from orders import outbox
from orders.models import OutboxRow
from orders.outbox import Event
from tests import deadlines

ANNA = "anna@shop.example"


def outcome(row: OutboxRow) -> tuple[str, str]:
    row.refresh_from_db()
    return row.outcome, row.problem


def test_a_mail_is_sent_once(make_order: MakeOrder, server: MailServer) -> None:
    row = tell(make_order(), Event.SECURED)
    send()
    send()
    [mail] = server.taken
    assert mail["To"] == ANNA
    assert mail["Message-ID"] == f"<order-news.{row.pk}@127.0.0.1>"
    assert outcome(row) == ("done", "")


def test_many_mails_share_a_connection(make_order: MakeOrder, server: MailServer) -> None:
    for _ in range(3):
        tell(make_order(), Event.SECURED)
    send()
    assert (len(server.taken), server.sessions) == (3, 1)


def test_programs_can_tell_that_a_program_wrote_it(
    make_order: MakeOrder, server: MailServer, settings: Settings
) -> None:
    settings.MAIL_FROM = "The shop <shop@shop.example>"
    settings.MAIL_REPLY_TO = "help@shop.example"
    tell(make_order(), Event.SECURED)
    send()
    [mail] = server.taken
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"] == "The shop <shop@shop.example>"
    assert mail["Reply-To"] == "help@shop.example"


@pytest.mark.parametrize("email", [""])
def test_an_order_without_an_address_needs_no_mail(
    make_order: MakeOrder, server: MailServer, email: str
) -> None:
    row = tell(make_order(email=email), Event.SECURED)
    send()
    assert outcome(row) == ("unneeded", "")
    assert server.taken == []


def test_a_mail_waits_for_a_server_that_is_away(make_order: MakeOrder, settings: Settings) -> None:
    row = tell(make_order(), Event.SECURED)
    away = MailServer(port=smtp_server.free_port())
    use(settings, away)
    send()
    assert outcome(row) == ("", "the mail server cannot be reached: ConnectionRefusedError")
    with smtp_server.running(away.port) as back:
        send()
        assert len(back.taken) == 1
    assert outcome(row)[0] == "done"


def test_a_server_that_is_away_is_not_asked_for_each_mail(
    make_order: MakeOrder, settings: Settings
) -> None:
    rows = [tell(make_order(), Event.SECURED) for _ in range(3)]
    use(settings, MailServer(port=smtp_server.free_port()))
    send()
    sending.send_mail()
    assert sorted(OutboxRow.objects.get(pk=row.pk).tries for row in rows) == [0, 0, 1]


def test_a_server_that_hangs_is_not_waited_for(
    make_order: MakeOrder, server: MailServer, settings: Settings
) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    row = tell(make_order(), Event.SECURED)
    server.hangs = True
    send()
    assert outcome(row) == ("", "the mail server cannot be reached: SMTPServerDisconnected")
    server.hangs, settings.EMAIL_TIMEOUT = False, deadlines.seconds(10)
    send()
    assert outcome(row)[0] == "done"


@pytest.mark.parametrize(
    "refusal", ["550 5.1.1 <anna@shop.example>: no such user", "553 no <anna@shop.example> here"]
)
def test_an_address_that_is_refused_is_given_up_and_the_others_get_theirs(
    make_order: MakeOrder, server: MailServer, refusal: str
) -> None:
    server.refuse[ANNA] = refusal
    row, other = tell(make_order(), Event.SECURED), tell(make_order("ben@b.example"), Event.SECURED)
    send()
    send()
    result, problem = outcome(row)
    assert result == "failed"
    assert problem.startswith("the mail server refuses the address: 55")
    assert "anna" not in problem
    assert outcome(other)[0] == "done"
    assert [mail["To"] for mail in server.taken] == ["ben@b.example"]


@pytest.mark.parametrize(
    "refusal", ["450 4.2.0 greylisted", "452 4.2.2 mailbox full", "550 5.7.1 relaying denied"]
)
def test_an_address_that_is_refused_for_now_is_tried_again(
    make_order: MakeOrder, server: MailServer, refusal: str
) -> None:
    server.refuse[ANNA] = refusal
    row, other = tell(make_order(), Event.SECURED), tell(make_order("ben@b.example"), Event.SECURED)
    send()
    assert outcome(row) == ("", f"the mail server does not take the address now: {refusal[:9]}")
    assert outcome(other)[0] == "done"
    server.refuse.clear()
    send()
    assert outcome(row)[0] == "done"


def test_a_mail_that_is_refused_is_given_up(make_order: MakeOrder, server: MailServer) -> None:
    server.refuse_data = "554 5.6.0 not this one"
    row = tell(make_order(), Event.SECURED)
    send()
    assert outcome(row) == ("failed", "the mail server refuses the mail: 554 5.6.0")


def test_a_server_that_closes_is_left_alone_for_a_while(
    make_order: MakeOrder, server: MailServer
) -> None:
    server.refuse[ANNA] = "421 4.3.2 closing"
    row, other = tell(make_order(), Event.SECURED), tell(make_order("ben@b.example"), Event.SECURED)
    send()
    sending.send_mail()
    assert outcome(row) == ("", "the mail server is closing: 421 4.3.2")
    assert OutboxRow.objects.get(pk=other.pk).tries == 0


def test_a_mail_whose_answer_was_lost_is_sent_again_as_the_same_mail(
    make_order: MakeOrder, server: MailServer
) -> None:
    server.hang_up_after_data = True
    row = tell(make_order(), Event.SECURED)
    send()
    assert outcome(row)[0] == ""
    server.hang_up_after_data = False
    send()
    first, second = server.taken
    assert first["Message-ID"] == second["Message-ID"]
    assert outcome(row)[0] == "done"


def test_a_process_that_dies_after_sending_sends_the_same_mail_again(
    make_order: MakeOrder, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object) -> None:
        raise KeyboardInterrupt

    row = tell(make_order(), Event.SECURED)
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(outbox, "finish", die)
        send()
    sending.send_mail()
    assert len(server.taken) == 1  # its lease goes on
    send()
    first, second = server.taken
    assert first["Message-ID"] == second["Message-ID"]
    assert outcome(row)[0] == "done"


def test_a_mail_is_given_up_after_days(make_order: MakeOrder, server: MailServer) -> None:
    row = tell(make_order(), Event.SECURED)
    late = timezone.now() - sending.GIVEN_UP_AFTER - timedelta(minutes=1)
    OutboxRow.objects.filter(pk=row.pk).update(at=late, problem="the mail server is away")
    send()
    assert outcome(row) == ("failed", "given up after 3 days; the mail server is away")
    assert server.taken == []


def test_without_a_mail_server_mails_wait(
    make_order: MakeOrder, server: MailServer, settings: Settings
) -> None:
    settings.MAIL_IS_SENT = False
    row = tell(make_order(), Event.SECURED)
    send()
    assert outcome(row) == ("", "")
    settings.MAIL_IS_SENT = True
    send()
    assert outcome(row)[0] == "done"


@pytest.mark.parametrize(
    "address", ["anna@b.example\r\nBcc: all@b.example", "anna@b.example\nx", "ä@@b"]
)
def test_an_address_that_is_none_is_given_up(
    make_order: MakeOrder, server: MailServer, address: str
) -> None:
    row = tell(make_order(address), Event.SECURED)
    send()
    assert outcome(row)[0] == "failed"
    assert server.taken == []


def test_mails_are_counted(
    make_order: MakeOrder, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(telemetry, "count_mail", counted.append)
    server.refuse["ben@b.example"] = "550 5.1.1"
    server.refuse["cem@b.example"] = "450 4.2.0"
    for address in (ANNA, "", "ben@b.example", "cem@b.example"):
        tell(make_order(address), Event.SECURED)
    send()
    assert sorted(counted) == ["done", "failed", "postponed", "unneeded"]


def parts(mail: EmailMessage) -> tuple[str, str]:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text
    assert html
    return text.get_content(), html.get_content()
