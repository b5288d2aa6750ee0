"""How shoppers behave. A habit is given a shopper, and returns when that shopper makes no new click.

Whoever called waits for what is then still undecided: see `drills/crowd.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from drills.shopper import RETRY, Form, Heard, Page, Shopper, about
from inventory.click_answers import ClickAnswer

Habit = Callable[[Shopper], Coroutine[Any, Any, None]]

TABS = 4  # a browser has a connection for each
LOOKS = 2.0  # seconds at most, between the page and the click
LEAVES_AFTER = 0.005  # seconds at most for which the impatient waits
_NEXT_PRODUCT = (ClickAnswer.SOLD_OUT.code, ClickAnswer.NOT_ENOUGH.code)
_LATER = (ClickAnswer.PAUSED.code, ClickAnswer.NOT_OPEN.code)


async def patient(shopper: Shopper) -> None:
    """Looks, clicks, and tries another product where one is sold out."""
    page = await _arrive(shopper)
    if page is None:
        return
    shopper.watch()
    await shopper.pause(shopper.random.uniform(0, LOOKS))
    for form in _wanted(shopper, page):
        heard = await _buy_when_possible(shopper, form)
        if heard is None or heard.code not in _NEXT_PRODUCT:
            break


async def double_clicking(shopper: Shopper) -> None:
    """Sends the same form twice at once."""
    page = await _arrive(shopper)
    if page is None:
        return
    shopper.watch()
    await shopper.pause(shopper.random.uniform(0, LOOKS))
    if not shopper.closing.is_set():
        form = next(_wanted(shopper, page))
        await asyncio.gather(shopper.buy(form), shopper.buy(form))


async def many_tabs(shopper: Shopper) -> None:
    """Buys with several tickets at once, for more units than one shopper may have."""
    first = await _arrive(shopper)
    if first is None:
        return
    shopper.watch()
    others = await asyncio.gather(*(shopper.look() for _ in range(TABS - 1)))
    wanted = next(_wanted(shopper, first))
    tabs = [form for page in (first, *others) if page for form in page.forms]
    if not shopper.closing.is_set():
        units = max(1, wanted.most // 2)
        forms = [form for form in tabs if form.sku == wanted.sku]
        await asyncio.gather(*(shopper.buy(form, units) for form in forms))


async def impatient(shopper: Shopper) -> None:
    """Closes its connection before the answer, and asks again with the same ticket. Has no socket."""
    page = await _arrive(shopper)
    if page is None or shopper.closing.is_set():
        return
    form = next(_wanted(shopper, page))
    await shopper.click(form, leave_after=shopper.random.uniform(0, LEAVES_AFTER))
    await shopper.buy(form)


async def bot(shopper: Shopper) -> None:
    """Clicks as fast as it is answered: replayed and forged tickets, and what no form of ours sends."""
    page = await _arrive(shopper)
    while page is not None and not shopper.closing.is_set():
        heard = await shopper.random.choice(TRICKS)(shopper, shopper.random.choice(page.forms))
        if heard.unsure:
            await shopper.pause(about(shopper.random, RETRY))
        elif shopper.random.random() < 1 / 20:
            page = await shopper.look() or page


# The share of each habit in a crowd, in hundredths.
SHARES: dict[str, tuple[Habit, int]] = {
    "patient": (patient, 55),
    "double-clicking": (double_clicking, 15),
    "many tabs": (many_tabs, 10),
    "impatient": (impatient, 15),
    "bot": (bot, 5),
}


async def _arrive(shopper: Shopper) -> Page | None:
    """The page, loaded again until it is there; None where it did not come before the end."""
    while not shopper.closing.is_set():
        page = await shopper.look()
        if page is not None:
            return page if page.forms else None
        await shopper.pause(about(shopper.random, RETRY))
    return None


def _wanted(shopper: Shopper, page: Page) -> Iterator[Form]:
    """All products in an order of the shopper's own; what is sold out comes last."""
    forms = shopper.random.sample(page.forms, len(page.forms))
    yield from sorted(forms, key=lambda form: page.left.get(form.sku, 0) == 0)


async def _buy_when_possible(shopper: Shopper, form: Form) -> Heard | None:
    """Clicks again each second or so while the sale is paused or not open yet."""
    heard = None
    while not shopper.closing.is_set():
        heard = await shopper.buy(form)
        if heard.code not in _LATER:
            break
        await shopper.pause(about(shopper.random, 1.0))
    return heard


# --- What a bot tries -----------------------------------------------------------------------------


async def _click(shopper: Shopper, form: Form) -> Heard:
    """For the first time, or a replay."""
    return await shopper.click(form)


async def _other_units(shopper: Shopper, form: Form) -> Heard:
    return await shopper.click(form, 2)


async def _forge(shopper: Shopper, form: Form) -> Heard:
    """A ticket of which one letter was changed."""
    at = shopper.random.randrange(len(form.ticket))
    letter = "B" if form.ticket[at] == "A" else "A"
    ticket = form.ticket[:at] + letter + form.ticket[at + 1 :]
    return await shopper.click(form._replace(purchase="", ticket=ticket), odd=True)


async def _odd_units(shopper: Shopper, form: Form) -> Heard:
    units = shopper.random.choice(["0", "-1", "1.5", "1e3", "٣", "99999999999999999999", "", "one"])
    return await shopper.click(form, units, odd=True)


async def _odd_product(shopper: Shopper, form: Form) -> Heard:
    sku = shopper.random.choice(["NO-SUCH", "", "' OR 1=1 --", "\0", "x" * 2000])
    return await shopper.click(form._replace(sku=sku), odd=True)


async def _odd_request(shopper: Shopper, form: Form) -> Heard:
    """No form, half of one, far too much of one."""
    body, content_type = shopper.random.choice(
        [
            (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
            (b"ticket=a&ticket=b", "application/x-www-form-urlencoded"),
            (b"ticket=" + b"a" * 5000, "application/x-www-form-urlencoded"),
            (b'{"ticket": "a"}', "application/json"),
        ]
    )
    return await shopper.try_odd(body, content_type)


TRICKS = [_click, _click, _click, _other_units, _forge, _odd_units, _odd_product, _odd_request]
