"""The drills' bank acts once per key, and its books outlive the process."""

from pathlib import Path
from typing import Any

import pytest

from drills.bank import Bank, Refusal, count_events, read_books


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path / "books")


def start(bank: Bank, key: str = "one") -> str:
    asked = {"key": key, "amount": 1200, "currency": "EUR", "back": "http://shop/back"}
    return str(bank.call("start", asked)["reference"])


def pay(bank: Bank, choice: str = "pay") -> str:
    reference = start(bank)
    bank.call("play", {"reference": reference, "choice": choice})
    return reference


def taking(reference: str, **other: Any) -> dict[str, Any]:
    return {"reference": reference, "amount": 1200, "currency": "EUR", "key": "k"} | other


def test_a_start_that_is_repeated_is_the_same_payment(bank: Bank) -> None:
    assert start(bank) == start(bank) != start(bank, "two")


def test_money_is_captured_and_refunded_once(bank: Bank, tmp_path: Path) -> None:
    reference = pay(bank)
    captured = bank.call("capture", taking(reference))
    assert captured == bank.call("capture", taking(reference))
    assert bank.call("refund", taking(reference)) == bank.call("refund", taking(reference))
    assert read_books(tmp_path / "books") == [(reference, "one", "refunded", 1200, 1200, "EUR")]
    with pytest.raises(Refusal):
        bank.call("refund", taking(reference, key="another"))


def test_another_amount_is_not_captured(bank: Bank, tmp_path: Path) -> None:
    reference = pay(bank)
    with pytest.raises(Refusal):
        bank.call("capture", taking(reference, amount=1))
    assert bank.call("fetch", {"reference": reference})["state"] == "authorised"


def test_a_voided_payment_cannot_be_paid(bank: Bank, tmp_path: Path) -> None:
    reference = start(bank)
    bank.call("void", {"reference": reference, "key": "v"})
    bank.call("play", {"reference": reference, "choice": "pay"})
    assert bank.call("fetch", {"reference": reference})["state"] == "voided"
    assert count_events(tmp_path / "books") == 0


def test_who_pays_twice_has_two_payments_and_each_has_an_event(bank: Bank, tmp_path: Path) -> None:
    pay(bank, "twice")
    pays = [(key, state) for _, key, state, *_ in read_books(tmp_path / "books")]
    assert sorted(pays) == [("one", "authorised"), ("one twice", "authorised")]
    assert {event["key"] for event in bank.due_events()} == {"one"}
    assert count_events(tmp_path / "books") == 2


def test_the_books_are_on_disk(bank: Bank, tmp_path: Path) -> None:
    reference = pay(bank)
    again = Bank(tmp_path / "books")
    assert again.call("fetch", {"reference": reference})["state"] == "authorised"
    assert len(again.due_events()) == 1
