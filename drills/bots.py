"""A bot that plays a sale: many identities over few addresses, which click as soon and as fast as the rules
let them.

It uses only what every client gets over HTTP: before the opening the sale as JSON, with a cookie and a
ticket; then the answers to its clicks. It keeps to the rate of an address, because clicks beyond it are
lost work. An identity is a browser's cookie with a ticket.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

from drills.answers import parse_reply
from drills.http import Answer, Connection, Site, get, post
from drills.shopper_log import LOST, Reply
from inventory.click_answers import ClickAnswer

PATIENCE = 10.0  # seconds until an answer is lost
CONNECTIONS = 16  # of each address
EARLY = 0.1  # seconds before the opening at which the bot begins to try
_TRY = 0.002  # seconds between two tries to find the opening
_RETRY = 0.1  # seconds after a lost answer, or one that says to come later
_NOT_YET = (ClickAnswer.NOT_OPEN.code, ClickAnswer.PAUSED.code)
_LATER = (*_NOT_YET, ClickAnswer.BUSY.code, ClickAnswer.UNKNOWN.code, LOST)
_OVER = (
    *(ClickAnswer.SOLD_OUT.code, ClickAnswer.NOT_ENOUGH.code),
    *(ClickAnswer.CLOSED.code, ClickAnswer.DRAWING.code),
)


@dataclass
class Identity:
    """What the bot has of one identity. `cookie` is the whole header."""

    cookie: str = ""
    ticket: str = ""
    sku: str = ""
    purchase: str = ""  # that was accepted


class Rules(NamedTuple):
    """What the bot knows of the shop."""

    per_second: int  # clicks that an address may make


@dataclass
class Bot:
    """`identities` are dealt out to the addresses in `sources`."""

    site: Site
    slug: str
    rules: Rules
    identities: Sequence[Identity]
    sources: Sequence[str]
    answers: Counter[str] = field(default_factory=Counter)  # to its clicks, by code

    def __post_init__(self) -> None:
        self._over = asyncio.Event()  # no identity can get anything any more
        hands = len(self.sources)
        self._nodes = [
            _Node(self, source, deque(self.identities[number::hands]))
            for number, source in enumerate(self.sources)
        ]

    async def prepare(self) -> None:
        """Get a ticket for each identity, again until it comes. The caller sets the deadline."""
        await asyncio.gather(*(node.get_tickets() for node in self._nodes))

    async def attack(self, opens_at: float) -> None:
        """Click until each identity has its final answer. `opens_at` is in seconds since 1970."""
        await asyncio.sleep(max(0.0, opens_at - EARLY - time.time()))
        await self._nodes[0].find_opening()
        await asyncio.gather(*(node.click_all() for node in self._nodes))

    def close(self) -> None:
        for node in self._nodes:
            node.close()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def record(self, identity: Identity, reply: Reply) -> None:
        self.answers[reply.code] += 1
        if reply.accepted:
            identity.purchase = reply.purchase
        elif reply.code in _OVER:
            self._over.set()


class _Node:
    """One address: its identities, and its connections, which share a pace."""

    def __init__(self, bot: Bot, source: str, identities: deque[Identity]) -> None:
        self._bot, self._source, self._waiting = bot, source, identities
        self._idle: list[Connection] = []
        self._pause = 1 / bot.rules.per_second if bot.rules.per_second else 0.0
        self._next = (
            0.0  # when the next click is allowed, by the loop's clock; 0: as soon as it can be
        )
        self._full = False  # the network may have no more units

    async def get_tickets(self) -> None:
        wanted = iter(list(self._waiting))

        async def work() -> None:
            for identity in wanted:  # shared, so each is taken once
                await self._get_ticket(identity)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    async def _get_ticket(self, identity: Identity) -> None:
        asking = get(f"/sales/{self._bot.slug}/", self._bot.site.netloc, identity.cookie)
        while True:
            with suppress(OSError, TimeoutError):
                answer = await self._ask(asking)
                if answer.status == 200:
                    break
            await asyncio.sleep(_RETRY)
        offer = json.loads(answer.body)
        identity.ticket, identity.sku = offer["ticket"], offer["products"][0]["sku"]
        cookies = answer.all_headers("set-cookie")
        if cookies and not identity.cookie:
            identity.cookie = cookies[0].partition(";")[0]

    async def find_opening(self) -> None:
        """Click with one identity until the sale is open."""
        while self._waiting:
            identity = self._waiting.popleft()
            reply = await self._click(identity)
            if reply.code not in _NOT_YET:
                await self._go_on(identity, reply)
                break
            self._waiting.appendleft(identity)
            await asyncio.sleep(_TRY)

    async def click_all(self) -> None:
        await asyncio.gather(*(self._work() for _ in range(CONNECTIONS)))

    async def _work(self) -> None:
        while self._waiting and not self._full and not self._bot.over:
            identity = self._waiting.popleft()
            await self._keep_pace()
            await self._go_on(identity, await self._click(identity))

    async def _go_on(self, identity: Identity, reply: Reply) -> None:
        """Draw the consequences of an answer. An identity with a final one does not come again."""
        if reply.code == ClickAnswer.RATE_LIMITED.code:
            self._waiting.appendleft(identity)
            # The allowance of the burst is used up: from now on one click at a time.
            self._next = max(self._next, asyncio.get_running_loop().time() + self._pause)
        elif reply.code in _LATER:
            self._waiting.append(identity)
            await asyncio.sleep(_RETRY)
        elif reply.code == ClickAnswer.NETWORK.code:
            self._full = True

    async def _keep_pace(self) -> None:
        if self._next:
            now = asyncio.get_running_loop().time()
            mine = max(now, self._next)
            self._next = mine + self._pause
            await asyncio.sleep(mine - now)

    async def _click(self, identity: Identity) -> Reply:
        form = urlencode({"ticket": identity.ticket, "product": identity.sku, "quantity": 1})
        site, sent = self._bot.site, time.monotonic()
        request = post(f"/sales/{self._bot.slug}/buy", site.netloc, identity.cookie, form)
        try:
            reply = parse_reply(await self._ask(request), sent)
        except (OSError, TimeoutError):
            reply = Reply("", sent, time.monotonic() - sent, 0, LOST)
        self._bot.record(identity, reply)
        return reply

    async def _ask(self, request: bytes) -> Answer:
        async with asyncio.timeout(PATIENCE):
            connection = await self._take_connection()
            answer = await connection.send(request)
        if answer.header("connection") != "close":
            self._idle.append(connection)
        return answer

    async def _take_connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        site = self._bot.site
        return await Connection.open(site.host, site.port, site.tls, self._source)

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
