"""The shares of what simulated shoppers do with a hold."""

from collections import Counter

import pytest

from drills.payers import HABITS, SHARES, deal_habit, parse_shares


def test_every_habit_has_a_share() -> None:
    assert SHARES.keys() == HABITS.keys()
    assert sum(SHARES.values()) == 100


def test_shares_that_are_given_leave_out_all_others() -> None:
    shares = parse_shares("pays=80, forgets=20")
    assert shares == {"pays": 80, "forgets": 20}


def test_each_habit_has_its_share_of_any_crowd() -> None:
    dealt: Counter[str] = Counter()
    for _ in range(20):
        dealt[deal_habit(SHARES, dealt)] += 1
    assert dealt == {habit: share // 5 for habit, share in SHARES.items()}


@pytest.mark.parametrize("given", ["", "pays", "pays=", "pays=-1", "pays=0", "steals=3", "pays=٣"])
def test_what_is_no_share_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="share"):
        parse_shares(given)
