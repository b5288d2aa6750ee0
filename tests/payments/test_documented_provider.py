"""The provider that `docs/payments.md` shows is whole, and behaves as the interface says."""

import hmac
import inspect
import json
import re
from typing import Any

import pytest
import requests
from pytest_django import Settings

from payments.providers.base import (
    Busy,
    Event,
    Forged,
    NoAnswer,
    Provider,
    Refused,
    Seen,
    Stage,
)
from tests.payments.conftest import order
from tests.stack import ROOT

CALLS = ("start", "fetch", "capture", "void", "refund", "fetch_refund", "read_event")


@pytest.fixture
def acme(settings: Settings) -> Provider:
    settings.ACME_KEY, settings.ACME_SECRET, settings.ACME_URL = "key", "secret", "http://acme"
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/payments.md").read_text(), re.S)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102  # the project's own document
    made: Provider = names["make"]()
    return made


def answer(monkeypatch: pytest.MonkeyPatch, status: int, body: object = None) -> None:
    made = requests.Response()
    made.status_code, made._content = status, json.dumps(body).encode()
    monkeypatch.setattr(requests, "request", lambda *_, **__: made)


@pytest.mark.parametrize("call", CALLS)
def test_it_has_each_call_of_the_interface(acme: Provider, call: str) -> None:
    expected = list(inspect.signature(getattr(Provider, call)).parameters)[1:]
    assert list(inspect.signature(getattr(acme, call)).parameters) == expected
    assert acme.name


def test_these_are_all_calls_of_the_interface() -> None:
    assert set(CALLS) == {name for name in vars(Provider) if not name.startswith("_")} - {"name"}


def test_it_reads_payments(acme: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, 200, {"id": "1", "page": "http://acme/1"})
    assert acme.start(order()) == ("1", "http://acme/1")
    answer(monkeypatch, 200, {"status": "approved", "amount": 1, "currency": "EUR"})
    assert acme.fetch("1") == Seen(Stage.AUTHORISED, 1, "EUR")
    answer(monkeypatch, 200, {"status": "paid", "amount": 1, "currency": "EUR"})
    assert acme.capture("1", 1, "EUR", "a") == acme.void("1", "a") == (Stage.CAPTURED, 1, "EUR", "")
    answer(monkeypatch, 200, {"id": "2", "status": "done"})
    assert acme.refund("1", 1, "EUR", "a").done
    assert acme.fetch_refund("1", "2").done


@pytest.mark.parametrize(("status", "error"), [(500, NoAnswer), (429, Busy), (404, Refused)])
def test_it_raises_what_the_interface_says(
    acme: Provider, monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    answer(monkeypatch, status)
    with pytest.raises(error):
        acme.fetch("1")


def test_it_checks_signatures(acme: Provider) -> None:
    body = json.dumps({"id": "1", "type": "paid", "payment": "2"}).encode()
    signature = hmac.new(b"secret", body, "sha256").hexdigest()
    assert acme.read_event(body, {"Acme-Signature": signature}) == Event("1", "paid", "2")
    with pytest.raises(Forged):
        acme.read_event(body + b" ", {"Acme-Signature": signature})
