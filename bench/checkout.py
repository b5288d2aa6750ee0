"""Measures winners who check out at once: the times of their pages, and confirmed orders per second.

For each load settlement holds one order for each of 1,000 winners, without clicks. Then they open the
checkout, send the form, pay at the demo provider, and come back to their order.
"""

import asyncio
import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from bench.figures import (
    AUTOFILL,
    CHECKOUT_CONFIRMED,
    CHECKOUT_P99,
    CHECKOUT_PAGE,
    CHECKOUT_PAGES,
    PEOPLE,
    WINNERS,
)
from bench.stage import Stage, end_sale, percentile_ms
from drills.checkout import Checkout, Times
from drills.http import Browser, Site
from drills.private_shop import make_sale

if TYPE_CHECKING:
    from inventory.gate.entries import Entry

_HOLD = 60  # minutes


class Pace(NamedTuple):
    """Seconds within which winners open the checkout, seconds of typing into its form and into the
    provider's, and how many are there at a time."""

    opens: float
    types: tuple[float, float]
    pays: tuple[float, float]
    places: int


# People who type: a third of those asked by Capterra (2022) expect to be through within two minutes, two
# thirds within four. And people whose browsers fill in both forms.
PACES = {
    PEOPLE: Pace(5.0, (20.0, 60.0), (10.0, 40.0), WINNERS),
    AUTOFILL: Pace(5.0, (5.0, 15.0), (5.0, 15.0), WINNERS),
}
_AT_ONCE = (0.0, 0.0)


def measure_typing_winners(stage: Stage, pace: str) -> None:
    """Measure winners who open the checkout within seconds, and type for a while."""
    times, _ = _check_out(stage, PACES[pace])
    for share, name in CHECKOUT_PAGES[pace].items():
        stage.results.add(name, percentile_ms(_join(times), share))
    if pace == PEOPLE:
        for page, name in CHECKOUT_PAGE.items():
            stage.results.add(name, percentile_ms(times[page], 99))


def measure_hasty_winners(stage: Stage, places: int) -> None:
    """Measure winners who do not type, so many at a time: what the shop carries."""
    times, lasted = _check_out(stage, Pace(0.0, _AT_ONCE, _AT_ONCE, places))
    stage.results.add(CHECKOUT_CONFIRMED[places], WINNERS / lasted)
    stage.results.add(CHECKOUT_P99[places], percentile_ms(_join(times), 99))


def _join(times: Times) -> list[float]:
    return [took for of in times.values() for took in of]


def _check_out(stage: Stage, pace: Pace) -> tuple[Times, float]:
    """Returns the seconds of each answer by page, and those of all together. Raises SystemExit if not
    every order is confirmed, or if money and orders do not agree."""
    from drills import held_orders
    from payments import reconciliation

    sale = make_sale(
        1,
        units=WINNERS,
        hold=_HOLD,
        ask="address",
        payment="demo",
        terms="Be kind.",
        time_zone="Europe/Berlin",
    )
    [sku] = sale.variants.values_list("sku", flat=True)
    winners = held_orders.make_entries(sale, [sku], WINNERS)
    held_orders.hold(sale, winners)
    times: Times = defaultdict(list)
    began = time.perf_counter()
    uvloop.run(_send(stage, winners, pace, times))
    lasted = time.perf_counter() - began
    confirmed = sale.orders.filter(status="confirmed").count()
    end_sale(sale)
    report = reconciliation.verify(sale.pk)
    if confirmed != WINNERS or not report.balanced:
        raise SystemExit(f"{confirmed} of {WINNERS} confirmed: {report.as_json()['faults']}")
    return times, lasted


async def _send(stage: Stage, winners: "list[Entry]", pace: Pace, times: Times) -> None:
    places = asyncio.Semaphore(pace.places)
    site = Site(f"http://{stage.site}")
    await asyncio.gather(*(_win(site, winner, pace, places, times) for winner in winners))


async def _win(
    site: Site, winner: "Entry", pace: Pace, places: asyncio.Semaphore, times: Times
) -> None:
    from flashsale.http import shoppers

    chance = random.Random(winner.id)  # noqa: S311  # the same in each round
    browser = Browser(site)
    browser.cookies["shopper"] = shoppers.cookie_value(winner.shopper)
    await asyncio.sleep(chance.uniform(0, pace.opens))
    async with places:
        checkout = Checkout(
            site,
            browser,
            str(winner.purchase),
            chance,
            times=times,
            typing=chance.uniform(*pace.types),
            paying=chance.uniform(*pace.pays),
        )
        status = await checkout.pay(["pay"])
        checkout.close()
    if status != "confirmed":
        raise SystemExit(f"a paid order is {status}")
