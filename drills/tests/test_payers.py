"""The shares of what simulated shoppers do with a hold."""

import random

import pytest

from drills.payers import HABITS, SHARES, draw_habit, parse_shares


def test_every_habit_has_a_share() -> None:
    assert SHARES.keys() == HABITS.keys()
    assert sum(SHARES.values()) == 100


def test_shares_that_are_given_leave_out_all_others() -> None:
    shares = parse_shares("pays=80, forgets=20")
    assert shares == {"pays": 80, "forgets": 20}
    assert {draw_habit(shares, random.Random(seed)) for seed in range(50)} == {"pays", "forgets"}


@pytest.mark.parametrize("given", ["", "pays", "pays=", "pays=-1", "pays=0", "steals=3", "pays=٣"])
def test_what_is_no_share_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="share"):
        parse_shares(given)
