"""The live dashboard over a real socket: its figures are what happened, and it goes with the session."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conftest import MakeSale
from dashboard.tests.staff import LOOKS, RUNS, browser_of, employ, session_of
from inventory.models import Sale
from orders import sale_lifecycle
from tests import deadlines, stack
from tests.cast import Shopper, skus
from tests.stack import wait_for

DEADLINE = 30.0


@pytest.fixture(scope="module")
def web() -> Iterator[stack.Web]:
    with stack.Web.running(RATE_PER_SHOPPER="2") as web, stack.worker():
        yield web


@contextmanager
def watching(web: stack.Web, cookie: str, origin: str | None = "") -> Iterator[ClientConnection]:
    site = web.url.removeprefix("http://")
    headers = {"Cookie": cookie}
    if origin is not None:
        headers["Origin"] = origin or web.url
    with connect(
        f"ws://{site}/ws/dashboard/", additional_headers=headers, open_timeout=deadlines.seconds(10)
    ) as socket:
        yield socket


def next_frame(socket: ClientConnection) -> str:
    return str(socket.recv(DEADLINE))


def shown(frame: str, sale: Sale) -> str:
    """What a frame says of a sale."""
    found = re.search(rf'<div id="figures-{sale.pk}".*?\n</div>', frame, re.S)
    return found[0] if found else ""


def figure(html: str, name: str) -> str:
    found = re.search(rf'data-figure="{name}">([^<]*)<', html)
    assert found, name
    return found[1]


def totals(html: str) -> dict[str, int]:
    found = re.findall(r'data-answer="(\w+)".*?<small>([\d,]+) in all', html)
    return {answer: int(number.replace(",", "")) for answer, number in found if number != "0"}


def test_the_figures_are_what_an_outside_client_has_counted(
    web: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"shoe": 6, "bag": 0}, limit=2)
    shoe, bag = skus(sale)
    counted: Counter[str] = Counter()

    def note(answer: str, status: int, expected: int) -> None:
        assert status == expected
        counted[answer] += 1

    with watching(web, session_of(employ(LOOKS))) as socket:
        for _ in range(3):
            anna = Shopper(web.url)
            ticket = anna.ticket(sale)
            note("accepted", anna.buy(sale, ticket, product=shoe, quantity=2).status_code, 202)
            anna.buy(sale, ticket, product=shoe, quantity=2)
            counted["repeated"] += 1
            note("limit", anna.buy(sale, product=shoe, quantity=1).status_code, 409)
            note("sold_out", Shopper(web.url).buy(sale, product=bag).status_code, 409)
            note("invalid", anna.buy(sale, product="nothing").status_code, 422)
            note("invalid", anna.buy(sale, "A" * 43).status_code, 403)
        sale_lifecycle.pause(sale.pk, by="staff")
        note("closed", Shopper(web.url).buy(sale, product=shoe).status_code, 409)

        def settled_down() -> str:
            html = shown(next_frame(socket), sale)
            told = totals(html) == counted and figure(html, "confirmed") == "3"
            return html if told else ""

        html = wait_for(settled_down, f"the dashboard says {counted}")
        assert figure(html, "left") == figure(html, "waiting") == figure(html, "in-flight") == "0"
        assert 'data-phase="paused"' in html


def test_clicks_that_come_too_fast_are_counted(web: stack.Web, make_sale: MakeSale) -> None:
    sale, anna = make_sale(stock=9, limit=9), Shopper(web.url)
    answers = Counter(anna.buy(sale).status_code for _ in range(6))
    assert answers[429]
    with watching(web, session_of(employ(LOOKS))) as socket:
        expected = {"accepted": answers[202], "rate": answers[429]}
        wait_for(lambda: totals(shown(next_frame(socket), sale)) == expected, f"{expected}")


def test_a_click_is_timed_by_the_server_that_it_came_to(
    web: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=5)
    with watching(web, session_of(employ(LOOKS))) as socket:
        Shopper(web.url).buy(sale)

        def measured() -> bool:
            html = next_frame(socket)
            return figure(html, "confirm")[0].isdigit() and figure(html, "accept")[0].isdigit()

        wait_for(measured, "a click was timed")


def test_it_comes_once_a_second(web: stack.Web) -> None:
    with watching(web, session_of(employ(LOOKS))) as socket:
        next_frame(socket)
        began = time.monotonic()
        seconds = [re.search(r'data-at="(\d+)"', next_frame(socket)) for _ in range(5)]
        took = time.monotonic() - began
    at = [int(found[1]) for found in seconds if found]
    assert at == sorted(at)
    assert at[-1] > at[0]
    assert 2 < took < deadlines.seconds(15)  # a quiet machine takes five


# --- Who may listen --------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None])
def test_a_foreign_or_missing_origin_is_refused(web: stack.Web, origin: str | None) -> None:
    cookie = session_of(employ(LOOKS))
    with pytest.raises(InvalidStatus) as refused, watching(web, cookie, origin):
        pass
    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "cookie",
    [
        lambda: "",
        lambda: "sessionid=guessed",
        lambda: session_of(employ(["inventory.view_sale"])),
        lambda: session_of(employ(RUNS, is_staff=False)),
    ],
)
def test_who_may_not_look_hears_nothing(web: stack.Web, cookie: type) -> None:
    with pytest.raises(InvalidStatus) as refused, watching(web, cookie()):
        pass
    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


def closed_with(socket: ClientConnection) -> int | None:
    """Reads until the server closes."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            socket.recv(DEADLINE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None
    return None


def log_out(user: User, cookie: str) -> None:
    browser = browser_of(None)
    browser.cookies.load(cookie)
    assert browser.post("/admin/logout/").status_code == 200


def lose_the_permission(user: User, cookie: str) -> None:
    user.user_permissions.clear()


def leave(user: User, cookie: str) -> None:
    user.is_active = False
    user.save()


def change_the_password(user: User, cookie: str) -> None:
    user.set_password("another")
    user.save()


def lose_the_staff_status(user: User, cookie: str) -> None:
    user.is_staff = False
    user.save()


def expire(user: User, cookie: str) -> None:
    """Its row stays until somebody clears away what has expired."""
    session = Session.objects.filter(pk=cookie.partition("=")[2])
    assert session.update(expire_date=timezone.now() - timedelta(seconds=1)) == 1


def be_cleared_away(user: User, cookie: str) -> None:
    Session.objects.filter(pk=cookie.partition("=")[2]).delete()


@pytest.mark.parametrize(
    "what",
    [
        *(log_out, lose_the_permission, lose_the_staff_status, leave, change_the_password),
        *(expire, be_cleared_away),
    ],
)
def test_the_socket_goes_with_the_right_to_look(web: stack.Web, what: type) -> None:
    user = employ(LOOKS)
    cookie = session_of(user)
    with watching(web, cookie) as socket, watching(web, session_of(employ(LOOKS))) as another:
        next_frame(socket)
        what(user, cookie)
        assert closed_with(socket) == 4403
        assert next_frame(another)  # whose session is still valid


def test_what_a_dashboard_sends_is_not_read(web: stack.Web) -> None:
    with watching(web, session_of(employ(LOOKS))) as socket:
        socket.send("x" * 100)
        assert 'id="alarms"' in next_frame(socket)
        assert 'id="alarms"' in next_frame(socket)
