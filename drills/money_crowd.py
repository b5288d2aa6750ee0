"""The shoppers of the drill of money: each goes on one errand with an order that is held already."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import uvloop

from drills.checkout import Checkout, PaymentPage, UnexpectedAnswer
from drills.http import Browser, Site
from drills.money_plan import Errand
from drills.payers import PayersLog
from flashsale.http import shoppers
from inventory.gate.entries import Entry

AT_ONCE = 48  # requests of all together
_LATEST = 90.0  # seconds after the drill: shoppers without an answer then go home


@dataclass
class MoneyLog(PayersLog):
    """What the shoppers were told last, by order; `late` have had no answer until the end."""

    told: dict[UUID, str] = field(default_factory=dict)
    late: int = 0


class MoneyCrowd:
    """Sends one shopper on each errand. `shop` blocks until all are home."""

    def __init__(
        self,
        site: Site,
        entries: Sequence[Entry],
        errands: Sequence[Errand],
        seconds: float,
        seed: int,
    ) -> None:
        self.log = MoneyLog()
        self._site, self._seconds, self._seed = site, seconds, seed
        self._errands = list(zip(entries, errands, strict=True))

    def shop(self) -> None:
        uvloop.run(self._shop())

    async def _shop(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._began = asyncio.get_running_loop().time()
        tasks = [
            asyncio.create_task(self._go(*errand))
            for errand in self._errands
            if errand[1].begins is not None or errand[1].by_shopper
        ]
        _, late = await asyncio.wait(tasks, timeout=self._seconds + _LATEST)
        for task in late:
            task.cancel()
        self.log.late = len(late)
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()  # raise the drill's own errors

    async def _go(self, entry: Entry, errand: Errand) -> None:
        browser = Browser(self._site)
        browser.cookies["shopper"] = shoppers.cookie_value(entry.shopper)
        chance = random.Random(f"{self._seed} {entry.id}")  # noqa: S311  # repeatable on purpose
        checkout = Checkout(
            self._site,
            browser,
            str(entry.purchase),
            chance,
            times=self.log.times,
            slots=self._slots,
        )
        try:
            await self._run(entry, errand, checkout)
        except UnexpectedAnswer as problem:
            self.log.problems.append(f"{errand.group}, order {entry.purchase}: {problem}")
        finally:
            checkout.close()

    async def _run(self, entry: Entry, errand: Errand, checkout: Checkout) -> None:
        giving = asyncio.create_task(self._give_back(errand, checkout))
        try:
            if errand.begins is not None:
                self.log.habits[f"{errand.group}: {' '.join(errand.choices)}"] += 1
                await self._wait_until(errand.begins)
                await self._pay(errand, checkout)
            await giving
        finally:
            giving.cancel()
        self.log.told[entry.purchase] = await checkout.read_status()

    async def _pay(self, errand: Errand, checkout: Checkout) -> None:
        if not errand.pays:
            await checkout.pay(errand.choices)
            return
        page: PaymentPage | None = await checkout.open_payment()
        checkout.close()  # of many who wait, none keeps a connection
        await self._wait_until(errand.pays)
        if page is not None:
            await checkout.choose(page, errand.choices[0])

    async def _give_back(self, errand: Errand, checkout: Checkout) -> None:
        if errand.by_shopper and errand.cancelled is not None:
            await self._wait_until(errand.cancelled)
            await checkout.give_back()

    async def _wait_until(self, share: float) -> None:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._began + share * self._seconds - now))
