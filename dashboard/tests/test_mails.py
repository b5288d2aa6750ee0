"""A trial's mails can be read by staff who may see contacts; figures and alarms tell of those that wait."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from conftest import MakeSale
from dashboard.reading import Observer
from dashboard.tests.staff import LOOKS, browser_of, employ
from flashsale import mail_servers
from orders import cancellation, settlement
from orders.models import OutboxRow
from tests.cast import queue_up

READS = (*LOOKS, "accounts.view_contact")
BODY = '<style>p { color: red }</style><p onclick="x()">Hello</p><script>x()</script>'


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = mail_servers.FOLDER, tmp_path
    return tmp_path


@pytest.fixture
def reader() -> Client:
    return browser_of(employ(READS))


def send(
    number: int = 1,
    subject: str = "Hello",
    to: str = "anna@shop.example",
    server: BaseEmailBackend | None = None,
) -> str:
    """Send a mail. Gives its name."""
    message = EmailMultiAlternatives(
        subject,
        "Hello <b>",
        "shop@shop.example",
        [to],
        headers={"Message-ID": f"<news.{number}@s>"},
    )
    message.attach_alternative(BODY, "text/html")
    (server or get_connection()).send_messages([message])
    return f"news.{number}-s.eml"


def test_what_would_have_been_sent_is_listed(reader: Client, folder: Path) -> None:
    send(1, "Grüße & <Co>", "ben@b.example")
    page = reader.get("/dashboard/mails/").content.decode()
    assert "<bdi>Grüße &amp; &lt;Co&gt;</bdi>" in page
    assert "<bdi>ben@b.example</bdi>" in page
    assert 'href="/dashboard/mails/"' in reader.get("/dashboard/").content.decode()
    [file] = folder.glob("*.eml")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_mail_that_is_sent_twice_is_there_once(reader: Client, folder: Path) -> None:
    send()
    send()
    assert len(list(folder.glob("*.eml"))) == 1


def test_only_the_newest_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mail.folder._KEPT", 3)
    for number in range(5):
        send(number)
    assert len(list(folder.glob("*.eml"))) == 3


def test_a_connection_that_sends_many_removes_old_ones_now_and_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mail.folder._KEPT", 3)
    monkeypatch.setattr("mail.folder._AT_A_TIME", 4)
    with get_connection() as server:
        for number in range(12):
            send(number, server=server)
    assert len(list(folder.glob("*.eml"))) == 3 + 3


def test_a_mail_is_shown_as_text_and_as_html_that_can_do_nothing(reader: Client) -> None:
    name = send()
    text = reader.get(f"/dashboard/mails/{name}/text/")
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    assert text.content == b"Hello <b>"
    html = reader.get(f"/dashboard/mails/{name}/html/")
    policy = html["Content-Security-Policy"]
    assert html.content.decode() == BODY
    assert policy.startswith("sandbox; default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "allow" not in policy
    assert html["Cross-Origin-Opener-Policy"] == "unsafe-none"
    assert "no-store" in html["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["none.eml/text", "..%2fsecret-key/text", "news.1-s.eml/raw", ".eml/text"]
)
def test_there_is_nothing_else_in_the_folder(reader: Client, folder: Path, path: str) -> None:
    send()
    (folder.parent / "secret-key").write_text("secret")
    assert reader.get(f"/dashboard/mails/{path}/").status_code == 404


def test_other_staff_may_not_read_them() -> None:
    name, browser = send(), browser_of(employ(LOOKS))
    for path in ("", f"{name}/text/", f"{name}/html/"):
        assert browser.get(f"/dashboard/mails/{path}").status_code == 403
    assert "/dashboard/mails/" not in browser.get("/dashboard/").content.decode()
    assert browser_of(None).get("/dashboard/mails/").status_code == 302


def test_where_mails_are_sent_there_is_no_such_page(reader: Client, settings: Settings) -> None:
    name = send()
    settings.EMAIL_BACKEND = mail_servers.NONE
    assert reader.get("/dashboard/mails/").status_code == 404
    assert reader.get(f"/dashboard/mails/{name}/text/").status_code == 404
    assert "/dashboard/mails/" not in reader.get("/dashboard/").content.decode()


# --- Those that wait ------------------------------------------------------------------------------


@pytest.fixture
def row(make_sale: MakeSale) -> OutboxRow:
    """The only mail that is not sent yet."""
    sale = make_sale(stock=1, hold=10)
    [order] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    # Now: with the sale's gate the holds of other tests came to their end.
    OutboxRow.objects.filter(due__isnull=False).update(due=None)
    OutboxRow.objects.filter(outcome="failed").update(outcome="unneeded")
    cancellation.cancel_order(order, by="staff")
    return OutboxRow.objects.get(order=order, consumer="mail")


def alarms() -> dict[str, str]:
    return {alarm.code: alarm.words for alarm in Observer().look().alarms}


def wait(row: OutboxRow, minutes: float) -> None:
    since = timezone.now() - timedelta(minutes=minutes, seconds=5)
    OutboxRow.objects.filter(pk=row.pk).update(at=since)


def test_mails_that_have_waited_long_are_an_alarm(row: OutboxRow) -> None:
    wait(row, 4)
    assert Observer().look().mails.waiting == 1
    assert "mail-waits" not in alarms()
    wait(row, 7)
    assert alarms()["mail-waits"] == "1 mails wait, the oldest for 7 minutes."


def test_mails_without_a_server_are_an_alarm_at_once(row: OutboxRow, settings: Settings) -> None:
    settings.MAIL_IS_SENT = False
    assert alarms()["mail-waits"] == "1 mails wait: no EMAIL_URL is set."


def test_mails_that_were_given_up_are_an_alarm_for_a_day(row: OutboxRow) -> None:
    OutboxRow.objects.filter(pk=row.pk).update(outcome="failed", due=None)
    assert alarms()["mail-failed"] == "1 mails of the last day were given up."
    wait(row, 25 * 60)
    assert "mail-failed" not in alarms()


def test_the_dashboard_counts_them(row: OutboxRow) -> None:
    page = browser_of(employ(LOOKS)).get("/dashboard/").content.decode()
    assert 'data-figure="mails">1</dd>' in page
