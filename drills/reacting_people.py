"""People in a sale that bots play, too: each has one identity and an address of its own, opens the page
before the opening, and clicks as soon as a human reacts."""

import asyncio
import random
import time
from collections.abc import Sequence

from drills import loopback
from drills.answers import Page
from drills.http import Site
from drills.shopper import RETRY, Shopper, jitter
from drills.shopper_log import Log
from drills.sign_in import Cookies

SOONEST, LATEST = 0.5, 5.0  # seconds from the opening to the click
_AT_ONCE = 32  # pages that load at the same time
HABIT = "person"


def addresses_of(people: int) -> list[str]:
    return [loopback.address(loopback.PEOPLE, each) for each in range(people)]


class People:
    """`number` people. The same seed gives the same reactions."""

    def __init__(self, site: Site, slug: str, number: int, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # protects nothing
        self._reactions = [chance.uniform(SOONEST, LATEST) for _ in range(number)]
        self._people = [
            Shopper(
                *(site, slug),
                seed=f"{seed} {each}",
                habit=HABIT,
                source=source,
            )
            for each, source in enumerate(addresses_of(number))
        ]
        self._pages: list[Page] = []

    def use(self, cookies: Sequence[Cookies]) -> None:
        """Go on with the cookies that each has from a sign-in."""
        for person, own in zip(self._people, cookies, strict=True):
            person.browser.cookies |= own

    @property
    def logs(self) -> Sequence[Log]:
        return [person.log for person in self._people]

    async def prepare(self) -> None:
        """Open the page, each of them, again until it loads. The caller sets the deadline."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def open_page(person: Shopper) -> Page:
            while True:
                async with free:
                    if page := await person.load_page():
                        return page
                await asyncio.sleep(jitter(person.random, RETRY))

        self._pages = await asyncio.gather(*(open_page(person) for person in self._people))

    async def shop(self, opens_at: float) -> None:
        """Click, and again while told to come later. `opens_at` is in seconds since 1970."""

        async def click(person: Shopper, page: Page, reaction: float) -> None:
            await asyncio.sleep(max(0.0, opens_at + reaction - time.time()))
            await person.buy(person.random.choice(page.forms))

        visits = zip(self._people, self._pages, self._reactions, strict=True)
        await asyncio.gather(*(click(*visit) for visit in visits))

    async def leave(self) -> None:
        await asyncio.gather(*(person.leave() for person in self._people))
