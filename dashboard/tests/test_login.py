"""Staff log in with a password; attempts are limited by address and by name, so it cannot be guessed."""

import re
from collections.abc import Iterator

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import AsyncClient, RequestFactory

from dashboard import login
from flashsale.local.valkey import Valkey
from tests import deadlines, stack

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def web() -> Iterator[stack.Web]:
    """Behind one proxy that it trusts, so that a test can come from any address."""
    with stack.Web.running(TRUSTED_PROXIES="1") as web:
        yield web


@pytest.fixture(scope="module")
def anna() -> User:
    return User.objects.create_user("anna", password=PASSWORD, is_staff=True)


def log_in(
    web: stack.Web, name: str, password: str, address: str, forged: str = ""
) -> httpx.Response:
    seen = f"{forged}, {address}" if forged else address
    with httpx.Client(
        base_url=web.url, headers={"X-Forwarded-For": seen}, timeout=deadlines.seconds(15)
    ) as browser:
        page = browser.get("/admin/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
        return browser.post("/admin/login/", data=form)


def test_staff_log_in(web: stack.Web, anna: User) -> None:
    answer = log_in(web, "anna", PASSWORD, "192.0.2.1")
    assert answer.status_code == 302
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def wait(name: str, address: str) -> int:
    """The wait after an attempt for that name, without checking its password, which takes long."""
    request = RequestFactory().post("/admin/login/", {"username": name})
    request.scope = {"path": "", "headers": [], "client": (address, 1)}  # type: ignore[attr-defined]  # as under ASGI
    return login._count_attempt(request)


def log_in_too_often(
    web: stack.Web, name: str, password: str, address: str, forged: str = ""
) -> httpx.Response:
    """The refusal after so many attempts, all but the last without their password. Another window of the
    count may begin in between, which gives as many tries again."""
    for _ in range(3):
        while not wait(f"{name}, guessed", address):
            pass
        answer = log_in(web, name, password, address, forged)
        if answer.status_code == 429:
            return answer
    raise AssertionError("one address may guess without end")


def test_an_address_that_guesses_is_told_to_wait_also_when_it_guesses_right(
    web: stack.Web, anna: User
) -> None:
    assert log_in(web, "nobody", "guess", "192.0.2.2").status_code == 200
    limited = log_in_too_often(web, "nobody", "guess", "192.0.2.2")
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert "tried too often" in limited.text
    assert log_in_too_often(web, "anna", PASSWORD, "192.0.2.2")
    assert log_in(web, "anna", PASSWORD, "192.0.2.3").status_code == 302


def test_a_forged_header_does_not_help(web: stack.Web) -> None:
    for number in range(2):
        log_in_too_often(web, "nobody", "guess", "192.0.2.4", f"198.51.100.{number}")


@pytest.mark.parametrize("spelt", ["Victim-1", " victim-1 ", "\uff36ictim-1"])
def test_a_name_that_many_addresses_guess_is_closed_for_a_while_however_it_is_spelt(
    spelt: str,
) -> None:
    caches["default"].clear()
    tries = [wait(spelt if n % 2 else "victim-1", f"203.0.113.{n}") for n in range(122)]
    assert 0 < max(tries) <= 60
    assert tries.index(max(tries)) >= 60


def test_a_password_that_is_tried_too_often_is_not_written_down(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    address = "203.0.113.252"
    monkeypatch.setattr(login, "address_of", lambda *_: address)
    monkeypatch.setattr(login, "PER_ADDRESS", "0/m")
    form = {"username": "anna", "password": PASSWORD}
    answer = async_to_sync(AsyncClient().post)("/admin/login/", form)
    assert answer.status_code == 429
    assert f"too many logins from {address}" in caplog.text
    assert PASSWORD not in caplog.text


def test_one_address_does_not_close_a_name() -> None:
    assert max(wait("victim-2", "203.0.113.250") for _ in range(200)) > 0
    assert wait("victim-2", "203.0.113.251") == 0


def test_without_the_cache_nobody_is_let_in_and_told_so(
    tmp_path_factory: pytest.TempPathFactory, anna: User
) -> None:
    cache = Valkey(tmp_path_factory.mktemp("cache"))
    cache.start()
    try:
        with stack.Web.running(TRUSTED_PROXIES="1", CACHE_URL=cache.url) as web:
            cache.stop()
            answer = log_in(web, "anna", PASSWORD, "192.0.2.5")
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "2"
    finally:
        cache.stop()
