"""No worker may run during this test, so it is in a module of its own."""

import time

import pytest

from conftest import MakeSale
from drills import crowd, habits
from drills.tests.conftest import simulate_here
from tests import deadlines, stack


def test_an_accepted_purchase_without_a_decision_is_inconsistent(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "DEADLINE", 1.0)
    monkeypatch.setattr(habits, "LOOKS", 0.05)
    sale, began = make_sale(), time.monotonic()
    with stack.Web.running() as web:
        code, report = simulate_here(sale, "--url", web.url)
    assert time.monotonic() - began < deadlines.seconds(30)
    assert code == 3
    assert report["purchases"]["unanswered"] == report["faults"]["unanswered"]["count"] > 0
