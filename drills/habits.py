"""Habits of simulated shoppers.

A habit drives one shopper, and returns when the shopper makes no new click. The caller then waits for the
outcomes: see `drills/crowd.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from drills.answers import Form, Page
from drills.http import FORM
from drills.shopper import RETRY, Shopper, jitter
from drills.shopper_log import Reply
from inventory.click_answers import ClickAnswer

Habit = Callable[[Shopper], Coroutine[Any, Any, None]]

TABS = 4  # each uses a connection of its own
LOOKS = 2.0  # seconds at most, between the page and the click
LEAVES_AFTER = 0.005  # seconds at most that an impatient shopper waits for a reply
_NEXT_VARIANT = (ClickAnswer.SOLD_OUT.code, ClickAnswer.NOT_ENOUGH.code)
_LATER = (ClickAnswer.PAUSED.code, ClickAnswer.NOT_OPEN.code)


async def patient(shopper: Shopper) -> None:
    """Look, click, and try another variant if one is sold out."""
    page = await _arrive(shopper)
    if page is None:
        return
    shopper.open_socket()
    await shopper.pause(shopper.random.uniform(0, LOOKS))
    for form in _sort_forms(shopper, page):
        reply = await _buy_when_possible(shopper, form)
        if reply is None or reply.code not in _NEXT_VARIANT:
            break


async def double_clicking(shopper: Shopper) -> None:
    """Send the same form twice at once."""
    page = await _arrive(shopper)
    if page is None:
        return
    shopper.open_socket()
    await shopper.pause(shopper.random.uniform(0, LOOKS))
    if not shopper.closing.is_set():
        form = next(_sort_forms(shopper, page))
        await asyncio.gather(shopper.buy(form), shopper.buy(form))


async def many_tabs(shopper: Shopper) -> None:
    """Buy with several tickets at once, for more units in total than one shopper may have."""
    first = await _arrive(shopper)
    if first is None:
        return
    shopper.open_socket()
    others = await asyncio.gather(*(shopper.load_page() for _ in range(TABS - 1)))
    wanted = next(_sort_forms(shopper, first))
    tabs = [form for page in (first, *others) if page for form in page.forms]
    if not shopper.closing.is_set():
        units = max(1, wanted.most // 2)
        forms = [form for form in tabs if form.sku == wanted.sku]
        await asyncio.gather(*(shopper.buy(form, units) for form in forms))


async def impatient(shopper: Shopper) -> None:
    """Close the connection before the reply, and ask again with the same ticket. Opens no socket."""
    page = await _arrive(shopper)
    if page is None or shopper.closing.is_set():
        return
    form = next(_sort_forms(shopper, page))
    await shopper.click(form, leave_after=shopper.random.uniform(0, LEAVES_AFTER))
    await shopper.buy(form)


async def bot(shopper: Shopper) -> None:
    """Click as fast as replies come: with replayed and forged tickets, and with malformed requests."""
    page = await _arrive(shopper)
    while page is not None and not shopper.closing.is_set():
        reply = await shopper.random.choice(TRICKS)(shopper, shopper.random.choice(page.forms))
        if reply.unsure:
            await shopper.pause(jitter(shopper.random, RETRY))
        elif shopper.random.random() < 1 / 20:
            page = await shopper.load_page() or page


# The share of each habit in a crowd, in percent.
SHARES: dict[str, tuple[Habit, int]] = {
    "patient": (patient, 55),
    "double-clicking": (double_clicking, 15),
    "many tabs": (many_tabs, 10),
    "impatient": (impatient, 15),
    "bot": (bot, 5),
}


async def _arrive(shopper: Shopper) -> Page | None:
    """Load the page, again until it arrives. None if it has no form, or did not arrive before `closing`."""
    while not shopper.closing.is_set():
        page = await shopper.load_page()
        if page is not None:
            return page if page.forms else None
        await shopper.pause(jitter(shopper.random, RETRY))
    return None


def _sort_forms(shopper: Shopper, page: Page) -> Iterator[Form]:
    """All forms, in an order of the shopper's own; sold-out variants come last."""
    forms = shopper.random.sample(page.forms, len(page.forms))
    yield from sorted(forms, key=lambda form: page.left.get(form.sku, 0) == 0)


async def _buy_when_possible(shopper: Shopper, form: Form) -> Reply | None:
    """Click again about once a second while the sale is paused or not open yet."""
    reply = None
    while not shopper.closing.is_set():
        reply = await shopper.buy(form)
        if reply.code not in _LATER:
            break
        await shopper.pause(jitter(shopper.random, 1.0))
    return reply


# --- Tricks of a bot ------------------------------------------------------------------------------


async def _click(shopper: Shopper, form: Form) -> Reply:
    """Use the ticket for the first time, or replay it."""
    return await shopper.click(form)


async def _change_units(shopper: Shopper, form: Form) -> Reply:
    return await shopper.click(form, 2)


async def _forge_ticket(shopper: Shopper, form: Form) -> Reply:
    """Change one letter of the ticket."""
    at = shopper.random.randrange(len(form.ticket))
    letter = "B" if form.ticket[at] == "A" else "A"
    ticket = form.ticket[:at] + letter + form.ticket[at + 1 :]
    return await shopper.click(form._replace(purchase="", ticket=ticket), malformed=True)


async def _send_invalid_units(shopper: Shopper, form: Form) -> Reply:
    units = shopper.random.choice(["0", "-1", "1.5", "1e3", "٣", "99999999999999999999", "", "one"])
    return await shopper.click(form, units, malformed=True)


async def _send_invalid_product(shopper: Shopper, form: Form) -> Reply:
    sku = shopper.random.choice(["NO-SUCH", "", "' OR 1=1 --", "\0", "x" * 2000])
    return await shopper.click(form._replace(sku=sku), malformed=True)


async def _send_invalid_body(shopper: Shopper, form: Form) -> Reply:
    """Send no form, a repeated field, a form that is too large, or JSON."""
    body, content_type = shopper.random.choice(
        [
            (b"\xff\xfe\x00", FORM),
            (b"ticket=a&ticket=b", FORM),
            (b"ticket=" + b"a" * 5000, FORM),
            (b'{"ticket": "a"}', "application/json"),
        ]
    )
    return await shopper.send_malformed(body, content_type)


TRICKS = [
    *(_click, _click, _click),
    *(_change_units, _forge_ticket),
    *(_send_invalid_units, _send_invalid_product, _send_invalid_body),
]
