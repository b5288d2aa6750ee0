"""What staff are asked about who gets units, before a sale is scheduled or opened."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts import access_codes
from conftest import MakeSale
from inventory.models import Sale
from orders.entry_warnings import warn_of_entry

OPENS = timezone.now() + timedelta(days=1)
FAIR: dict[str, Any] = {"hold_minutes": 60, "ask": "email", "per_address": 20, "limit": 2}


def drawn(after: float, **rules: Any) -> list[str]:
    """The warnings about a sale of two days, whose draw is so many seconds after its opening."""
    return of(draw_at=OPENS + timedelta(seconds=after), **{**FAIR, **rules})


def of(**rules: Any) -> list[str]:
    return warn_of_entry(Sale(opens_at=OPENS, closes_at=OPENS + timedelta(days=2), **rules))


def test_usual_rules_are_not_asked_about() -> None:
    assert drawn(30) == []
    assert drawn(86_400, standby=True) == []
    assert of() == []
    assert of(hold_minutes=10, standby=True) == []


@pytest.mark.parametrize(
    ("after", "rules", "said"),
    [
        (5, {}, "Lots are drawn 5 s after the opening"),
        (30, {"ask": ""}, "no checkout asks for an e-mail address"),
        (30, {"hold_minutes": 0, "ask": ""}, "no checkout asks for an e-mail address"),
        (3600, {"hold_minutes": 10}, "Winners have 10 minutes"),
        (30, {"per_address": 0}, "one person with many browsers"),
        (2 * 86_400 - 60, {"standby": True}, "closes before the winners' holds end"),
    ],
)
def test_an_odd_draw_is_asked_about(after: float, rules: dict[str, Any], said: str) -> None:
    assert any(said in warning for warning in drawn(after, **rules))


def test_a_short_draw_may_have_a_short_hold() -> None:
    assert drawn(30, hold_minutes=10) == []


def test_a_draw_of_people_with_an_address_needs_no_bound(settings: Settings) -> None:
    settings.MAIL_IS_SENT = True
    assert drawn(30, per_address=0, entrants="email") == []


def test_winners_with_an_address_need_no_checkout_that_asks_for_it(settings: Settings) -> None:
    settings.MAIL_IS_SENT = True
    assert drawn(30, ask="", entrants="email") == []


def test_standby_where_nothing_is_held_is_asked_about() -> None:
    [said] = of(standby=True)
    assert said.startswith("Standby is on, and nothing is held")


def test_an_address_that_nobody_can_verify_is_asked_about(settings: Settings) -> None:
    settings.MAIL_IS_SENT = False
    assert "nobody can verify one" in " ".join(of(entrants="email"))
    settings.MAIL_IS_SENT = True
    assert of(entrants="email") == []


def test_a_sale_by_codes_that_has_none_is_asked_about(make_sale: MakeSale) -> None:
    sale, other = make_sale(live=False, entrants="code"), make_sale(live=False, entrants="code")
    access_codes.generate(1, [other.pk])
    [said] = warn_of_entry(sale)
    assert "the sale has no codes: nobody can" in said
    assert warn_of_entry(other) == []


@pytest.mark.parametrize(("per_address", "odd"), [(0, False), (1, True), (2, False)])
def test_a_network_that_may_buy_less_than_a_shopper_is_asked_about(
    per_address: int, odd: bool
) -> None:
    assert bool(of(limit=2, per_address=per_address)) == odd
