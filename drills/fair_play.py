"""Play one sale of bots against people in a running private shop, and count what each got."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import uvloop
from django.conf import settings
from django.db.models import Sum

from drills import loopback
from drills.bots import Bot, Identity, Rules
from drills.fair_modes import RATE, Mode, Outcome, Setting, Side
from drills.http import Site
from drills.private_shop import make_sale, wait_for
from drills.reacting_people import LATEST, People, addresses_of
from drills.shopper_log import Log
from drills.sign_in import Client, Cookies, sign_in_all
from flashsale.http import shoppers
from inventory.gate import replica
from inventory.models import Sale
from orders.models import Order
from payments import reconciliation

# The opening comes when all have their pages: a fixed time, and one for each page.
_LEAD, _PER_BOT, _PER_PERSON = 4.0, 1 / 300, 1 / 80
_MOST_SOURCES = 250
READY = 1.0  # seconds before the opening at which all have theirs
_SPARE = 5.0  # seconds of a whole window after the last click
_SETTLED = 120.0  # seconds for a line and a draw


def play(site: Site, mode: Mode, setting: Setting, seed: int, run: int = 0) -> Outcome:
    """Play a sale of this mode to its end. `run` is another one for each sale of a shop: the bot comes from
    other addresses then. Raises SystemExit if the crowd was not ready at the opening."""
    sources = [
        loopback.address(loopback.BOTS, run * _MOST_SOURCES + each)
        for each in range(setting.addresses)
    ]
    signed_in = _sign_in(site, setting, sources, run) if mode.asks_for_email else _Cookies([], [])
    lead = _LEAD + setting.bots * _PER_BOT + setting.people * _PER_PERSON
    opens_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=lead + 1)
    sale = _make_sale(mode, setting, opens_at)
    identities = [Identity(cookie) for cookie in signed_in.bots or [""] * setting.bots]
    bot = Bot(site, sale.slug, Rules(RATE), identities, sources)
    people = People(site, sale.slug, setting.people, seed)
    if mode.asks_for_email:
        people.use(signed_in.people)
    uvloop.run(_meet(bot, people, opens_at.timestamp()))
    _wait_until_decided(sale)
    return _count(sale, mode, setting, bot, people.logs)


class _Cookies(NamedTuple):
    """Of those who have signed in: the bot's as headers. "" for an identity that could not."""

    bots: list[str]
    people: list[Cookies]


def _sign_in(site: Site, setting: Setting, sources: Sequence[str], run: int) -> _Cookies:
    """Let all sign in before the sale, each with a mailbox of its own: the bot as far as the limits of an
    hour let it. example.com is reserved: no mail reaches a person."""
    started = time.time_ns()  # no other sale of this shop has the same mailboxes
    where = [*islice(cycle(sources), setting.bots), *addresses_of(setting.people)]
    clients = [
        Client(source, f"{each}.{run}.{started}@example.com") for each, source in enumerate(where)
    ]
    found = uvloop.run(sign_in_all(site, clients, Path(str(settings.EMAIL_FILE_PATH))))
    headers = [
        "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
        for cookies in found[: setting.bots]
    ]
    return _Cookies(headers, [cookies or {} for cookies in found[setting.bots :]])


def _make_sale(mode: Mode, setting: Setting, opens_at: datetime) -> Sale:
    return make_sale(
        *(1, 1, setting.units),
        opens_at=opens_at,
        draw_at=opens_at + _window(mode, setting) if mode.draws else None,
        per_address=setting.per_address,
        entrants=Sale.Entrants.EMAIL if mode.asks_for_email else Sale.Entrants.ANYONE,
    )


def _window(mode: Mode, setting: Setting) -> timedelta:
    """From the opening to the draw. A whole window, of days in a real shop, lets everybody enter: here it
    is so long that the rate keeps no identity of the bot out."""
    if mode is Mode.SHORT_DRAW:
        return timedelta(seconds=setting.window)
    entering = 1.5 * setting.bots / (RATE * setting.addresses)
    return timedelta(seconds=max(setting.window, LATEST + entering + _SPARE))


async def _meet(bot: Bot, people: People, opens_at: float) -> None:
    try:
        try:
            async with asyncio.timeout(opens_at - READY - time.time()):
                await asyncio.gather(bot.prepare(), people.prepare())
        except TimeoutError:
            raise SystemExit(
                "The crowd was not ready at the opening: this machine is too busy."
            ) from None
        await asyncio.gather(bot.attack(opens_at), people.shop(opens_at))
    finally:
        bot.close()
        await people.leave()


def _wait_until_decided(sale: Sale) -> None:
    """Wait until the line is empty and, after a draw, each entry has its outcome."""

    def decided() -> bool:
        sale.refresh_from_db()
        view = replica.read_view(sale.pk)
        return view.ready and not view.in_line and not sale.awaits_draw

    drawn_in = (sale.draw_at.timestamp() - time.time()) if sale.draw_at else 0.0
    wait_for(decided, max(drawn_in, 0.0) + _SETTLED)


def _count(sale: Sale, mode: Mode, setting: Setting, bot: Bot, logs: Iterable[Log]) -> Outcome:
    """Count by PostgreSQL, and compare it with what the shop has answered."""
    owned = Order.objects.filter(sale=sale).values_list("shopper").annotate(units=Sum("owned"))
    units = dict(owned)
    bots = {_shopper_of(each): each.purchase for each in bot.identities}
    people = {log.shopper: next(iter(log.accepted), "") for log in logs}
    return Outcome(
        mode,
        setting,
        _side(bots, units),
        _side(people, units),
        dict(bot.answers.most_common()),
        _find_faults(sale, {*bots.values(), *people.values()} - {""}),
    )


def _shopper_of(identity: Identity) -> UUID | None:
    values = (cookie.partition("=")[2] for cookie in identity.cookie.split("; "))
    return next(filter(None, map(shoppers.shopper_in, values)), None)


def _side(purchases: dict[UUID | None, str], units: dict[UUID, int]) -> Side:
    """`purchases` are those that were accepted, by shopper; `units` are owned."""
    owned = [units.get(shopper, 0) for shopper in purchases if shopper]
    accepted = sum(1 for purchase in purchases.values() if purchase)
    return Side(len(purchases), accepted, sum(1 for each in owned if each), sum(owned))


def _find_faults(sale: Sale, accepted: set[str]) -> list[str]:
    orders = {str(pk) for pk in Order.objects.filter(sale=sale).values_list("pk", flat=True)}
    faults = []
    if accepted != orders:
        faults.append(
            f"{len(accepted - orders):,} accepted clicks are no orders,"
            f" {len(orders - accepted):,} orders are of clicks that were not accepted"
        )
    found = reconciliation.verify(sale.pk).as_json()["faults"]
    return faults + [f"{kind}: {what}" for kind, what in found.items()]
