"""What simulated shoppers do with their holds: habits of paying, and their shares."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from drills.checkout import LEAVE, Checkout, Times, UnexpectedAnswer
from drills.http import Browser, Site

PayingHabit = Callable[[Checkout], Coroutine[Any, Any, object]]


async def pays(checkout: Checkout) -> None:
    await checkout.pay(["pay"])


async def declines(checkout: Checkout) -> None:
    """The first card is declined; the second one pays."""
    await checkout.pay(["decline", "pay"])


async def pays_twice(checkout: Checkout) -> None:
    await checkout.pay(["twice"])


async def dawdles(checkout: Checkout) -> None:
    """The bank takes a while."""
    await checkout.pay(["slow"])


async def vanishes(checkout: Checkout) -> None:
    """Pay, and never come back to the shop."""
    await checkout.pay([LEAVE])


async def turns_back(checkout: Checkout) -> None:
    """See the provider's page, and leave without paying."""
    await checkout.open_payment()


async def forgets(checkout: Checkout) -> None:
    """Never look at the checkout."""


async def gives_back(checkout: Checkout) -> None:
    await checkout.give_back()


HABITS: dict[str, PayingHabit] = {
    "pays": pays,
    "declines": declines,
    "twice": pays_twice,
    "slow": dawdles,
    "vanishes": vanishes,
    "turns-back": turns_back,
    "forgets": forgets,
    "gives-back": gives_back,
}
# The share of each habit among those for whom something is held, in percent.
SHARES = {
    "pays": 60,
    "declines": 10,
    "twice": 5,
    "slow": 5,
    "vanishes": 5,
    "turns-back": 5,
    "forgets": 5,
    "gives-back": 5,
}


AT_ONCE = 32  # requests of all payers together


@dataclass
class PayersLog:
    """Everything that the payers did, and which answers no page should have led to."""

    habits: Counter[str] = field(default_factory=Counter)
    times: Times = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)


class Payers:
    """Take shoppers through their checkouts, each by a habit that is dealt by the shares."""

    def __init__(self, site: Site, shares: Mapping[str, int]) -> None:
        self.log = PayersLog()
        self._site, self._shares = site, shares
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def check_out(self, browser: Browser, purchase: str, chance: random.Random) -> None:
        """Do with one held order what a shopper does. Returns when the habit is done with it."""
        habit = deal_habit(self._shares, self.log.habits)
        self.log.habits[habit] += 1
        checkout = Checkout(
            self._site, browser, purchase, chance, times=self.log.times, slots=self._slots
        )
        try:
            await HABITS[habit](checkout)
        except UnexpectedAnswer as problem:
            self.log.problems.append(f"{habit}, order {purchase}: {problem}")


def deal_habit(shares: Mapping[str, int], dealt: Counter[str]) -> str:
    """The habit that is furthest behind its share; the shares need not have the sum 100.

    Not drawn: which shoppers get a hold is up to the shop, and a small crowd would lack some habits.
    """
    part = (dealt.total() + 1) / sum(shares.values())
    return max(shares, key=lambda habit: shares[habit] * part - dealt[habit])


def parse_shares(given: str) -> dict[str, int]:
    """Parse shares like `pays=80,forgets=20`; a habit without one has none. Raises ValueError."""
    shares: Counter[str] = Counter()
    for part in given.split(","):
        name, _, share = part.strip().partition("=")
        if name not in HABITS or not share.isascii() or not share.isdigit():
            raise ValueError(f"{part.strip()!r} is no habit of {', '.join(HABITS)} with a share")
        shares[name] += int(share)
    if not shares.total():
        raise ValueError("at least one share is more than 0")
    return dict(shares)
