"""What processes write, however much is asked for and whatever goes wrong, holds no secret."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

from conftest import MakeSale
from dashboard.tests.staff import LOOKS, employ, session_of
from tests import deadlines, servers, stack
from tests.cast import HTMX, JSON, Shopper, at_once

DEBUG = {"LOG_LEVEL": "DEBUG", "LOG_PURCHASES": "1"}
formats = pytest.mark.parametrize("as_what", ["line", pytest.param("json", marks=pytest.mark.deep)])
PASSWORD = "a-password-of-staff-8c2f"
WRONG = "a-wrong-password-5d1e"

Said = Callable[[], str]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    """All that our processes have written so far."""
    pieces: list[str] = []

    def read() -> str:
        pieces.extend(capfd.readouterr())
        return "".join(pieces)

    return read


@dataclass
class Stumbling(stack.Web):
    """A server process with faults of ours."""

    def start(self) -> stack.Process:
        self.command[2] = "tests.security.stumbling"
        return super().start()


@dataclass
class Helpless(stack.Web):
    """A server process that lives, and reaches neither PostgreSQL nor Redis."""

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=deadlines.seconds(15)).status_code == 503
        except httpx.HTTPError:
            return False


def passwords() -> list[str]:
    urls = (servers.POSTGRES.url, servers.VALKEY.url)
    return [os.environ["SECRET_KEY"], *(str(urlsplit(url).password) for url in urls)]


def holds_none(text: str, secrets: list[str]) -> None:
    assert all(secrets)
    assert [secret for secret in secrets if secret in text] == []


def go_shopping(web: stack.Web, make_sale: MakeSale) -> list[str]:
    """Everything that carries a secret, rightly and wrongly. Gives the secrets."""
    sale, anna = make_sale(limit=3), Shopper(web.url)
    with anna.client:
        ticket = anna.ticket(sale)
        cookie = anna.client.cookies["shopper"]
        for made in (ticket, ticket, ticket[:-1], ticket.lower()):
            anna.buy(sale, made)
        anna.buy(sale, ticket, HTMX, quantity=2)
        anna.client.get(f"/sales/{sale.slug}/?ticket={ticket}")
        anna.client.get(f"/orders/?ticket={ticket}")
        anna.client.post("/admin/login/", data={"username": "anna", "password": PASSWORD})
    session = session_of(employ(LOOKS))
    for path, named in (
        (f"/ws/sales/{sale.slug}/", f"shopper={cookie}"),
        ("/ws/dashboard/", session),
    ):
        headers = {"Cookie": named, "Origin": web.url}
        with connect(web.url.replace("http", "ws") + path, additional_headers=headers) as page:
            page.send(ticket)
            page.recv(deadlines.seconds(15))
    return [ticket, cookie, session.partition("=")[2], PASSWORD]


@formats
def test_a_shop_that_says_all_it_can_tells_no_secret(
    said: Said, make_sale: MakeSale, as_what: str
) -> None:
    settings = DEBUG | {"LOG_FORMAT": as_what}
    with stack.Web.running(**settings) as web, stack.worker(**settings):
        stack.wait_for(lambda: "[queues]" in said(), "the worker has started")
        secrets = go_shopping(web, make_sale)
    assert "DEBUG" in said()
    holds_none(said(), [*secrets, *passwords()])


@formats
@pytest.mark.deep
def test_a_shop_that_stumbles_tells_no_secret(
    said: Said, make_sale: MakeSale, as_what: str
) -> None:
    with Stumbling.running(**DEBUG, LOG_FORMAT=as_what) as web:
        secrets = go_shopping(web, make_sale)
    assert said().count("a fault of ours") > 1
    holds_none(said(), [*secrets, *passwords()])


@pytest.mark.deep
def test_a_shop_with_wrong_passwords_does_not_tell_them(said: Said) -> None:
    right, wrong = (servers.POSTGRES.url, servers.VALKEY.url), {}
    for name, url in zip(("DATABASE_URL", "REDIS_URL"), right, strict=True):
        wrong[name] = url.replace(f":{urlsplit(url).password}@", f":{WRONG}@")
    env = {**wrong, **DEBUG, "FLASHSALE_EMBEDDED": "0"}
    with Helpless.running(**env) as web, stack.worker(**env):
        went = at_once(
            lambda: visit(web, "/sales/any/", "/orders/"),
            lambda: visit(web, "/", "/admin/login/", "/dashboard/"),
            lambda: manage(env, "doctor"),
            lambda: manage(env, "check", "--deploy"),
            lambda: manage(env, "sale", "list"),
        )
        assert went == [None] * 5
        stack.wait_for(lambda: "Cannot connect to redis://" in said(), "the worker has tried")
    assert "password" in said()
    holds_none(said(), [WRONG, *passwords()])


def visit(web: stack.Web, *paths: str) -> None:
    for path in paths:
        httpx.get(web.url + path, headers=JSON, timeout=deadlines.seconds(30))


def manage(env: dict[str, str], *command: str) -> None:
    run = [sys.executable, "manage.py", *command]
    subprocess.run(run, cwd=stack.ROOT, env={**os.environ, **env}, check=False)
