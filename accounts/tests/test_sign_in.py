"""Codes: good for one browser, a few tries and some minutes, once."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as configured
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts import sign_in
from accounts.contacts import Unreadable
from accounts.models import SignInCode
from flashsale.http.tests.test_shoppers import forget_keys

ANNA = "anna@shop.example"


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    SignInCode.objects.all().delete()


@pytest.fixture
def keys(settings: Settings) -> Iterator[Settings]:
    yield settings
    forget_keys()


def code_of(asked: UUID) -> str:
    return sign_in.Mail(asked, ANNA, "en").code


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def test_a_code_verifies_the_address_that_it_was_mailed_to() -> None:
    asked = sign_in.ask(ANNA, "de")
    mail = sign_in.take_mail()
    assert mail == (asked, ANNA, "de")
    assert re.fullmatch(r"\d{6}", mail.code)
    assert sign_in.redeem(asked, f" {mail.code[:3]} {mail.code[3:]} ") == ANNA


def test_a_code_is_good_once() -> None:
    asked = sign_in.ask(ANNA, "en")
    assert sign_in.redeem(asked, code_of(asked)) == ANNA
    assert sign_in.redeem(asked, code_of(asked)) is None
    assert not sign_in.is_open(asked)


def test_after_some_wrong_codes_the_right_one_is_too_late() -> None:
    asked = sign_in.ask(ANNA, "en")
    for _ in range(sign_in.MOST_TRIES):
        assert sign_in.is_open(asked)
        assert sign_in.redeem(asked, wrong(code_of(asked))) is None
    assert sign_in.redeem(asked, code_of(asked)) is None
    assert not sign_in.is_open(asked)


def test_guesses_at_the_same_time_are_all_counted() -> None:
    asked = sign_in.ask(ANNA, "en")
    right = code_of(asked)
    guesses = [wrong(right)] * 12 + [right]
    together = threading.Barrier(len(guesses))

    def guess(code: str) -> str | None:
        try:
            together.wait(20)
            return sign_in.redeem(asked, code)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(guesses)) as pool:
        found = list(pool.map(guess, guesses))
    if ANNA in found:  # the right one was among the first: the row is gone
        assert not SignInCode.objects.filter(pk=asked).exists()
    else:
        assert SignInCode.objects.get(pk=asked).tries == sign_in.MOST_TRIES
    assert sign_in.redeem(asked, right) is None


def test_a_code_is_good_for_the_request_that_it_was_made_for() -> None:
    mine, theirs = sign_in.ask(ANNA, "en"), sign_in.ask("ben@shop.example", "en")
    if code_of(mine) != code_of(theirs):
        assert sign_in.redeem(theirs, code_of(mine)) is None
    assert sign_in.redeem(uuid4(), code_of(mine)) is None


def test_a_code_is_good_for_some_minutes() -> None:
    asked = sign_in.ask(ANNA, "en")
    left = SignInCode.objects.get(pk=asked).expires_at - timezone.now()
    assert timedelta(minutes=9) < left <= sign_in.VALID_FOR
    SignInCode.objects.filter(pk=asked).update(expires_at=timezone.now())
    assert sign_in.redeem(asked, code_of(asked)) is None
    assert sign_in.take_mail() is None
    sign_in.forget_expired()
    assert not SignInCode.objects.exists()


def test_postgresql_does_not_have_the_code(settings: Settings) -> None:
    settings.CONTACT_KEYS = [Fernet.generate_key().decode()]
    asked = sign_in.ask(ANNA, "en")
    with connection.cursor() as cursor:
        cursor.execute("SELECT c::text FROM accounts_signincode c")
        [(row,)] = cursor.fetchall()
    assert code_of(asked) not in row.replace(asked.hex, "").replace(str(asked), "")
    assert "anna" not in row
    assert sign_in.redeem(asked, code_of(asked)) == ANNA


def test_an_address_whose_key_is_lost_is_not_verified(settings: Settings) -> None:
    settings.CONTACT_KEYS = [Fernet.generate_key().decode()]
    asked = sign_in.ask(ANNA, "en")
    settings.CONTACT_KEYS = []
    with pytest.raises(Unreadable):
        sign_in.take_mail()
    with pytest.raises(Unreadable):
        sign_in.redeem(asked, code_of(asked))


def test_a_code_survives_a_change_of_keys(keys: Settings) -> None:
    asked = sign_in.ask(ANNA, "en")
    mailed = code_of(asked)
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = "another key", [configured.SECRET_KEY]
    forget_keys()
    assert sign_in.redeem(asked, mailed) == ANNA


def test_a_key_that_was_replaced_makes_no_code(keys: Settings) -> None:
    """Who knows it could sign in as anybody, as long as orders' links need it."""
    asked, replaced = uuid4(), configured.SECRET_KEY
    forged = code_of(asked)
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = "another key", [replaced]
    forget_keys()
    SignInCode.objects.filter(pk=sign_in.ask(ANNA, "en")).update(id=asked)
    assert sign_in.redeem(asked, forged) is None
    assert sign_in.redeem(asked, code_of(asked)) == ANNA


def test_the_key_of_the_worker_that_mails_it_makes_the_code(keys: Settings) -> None:
    """While a key is changed, web processes and workers may have different ones."""
    asked, web = sign_in.ask(ANNA, "en"), configured.SECRET_KEY
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = "another key", []
    forget_keys()
    mail = sign_in.take_mail()
    assert mail
    mailed = mail.code
    keys.SECRET_KEY, keys.SECRET_KEY_FALLBACKS = web, ["another key"]
    forget_keys()
    assert sign_in.redeem(asked, mailed) == ANNA


def test_a_mail_that_was_not_finished_is_sent_again() -> None:
    asked = sign_in.ask(ANNA, "en")
    mail = sign_in.take_mail()
    assert mail
    assert sign_in.take_mail() is None  # it is being sent
    SignInCode.objects.filter(pk=asked).update(due=timezone.now())
    assert sign_in.take_mail() == mail
    sign_in.finish_mail(mail)
    assert SignInCode.objects.get(pk=asked).due is None
