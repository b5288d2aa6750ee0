"""One simulated shopper, over HTTP and a socket, who behaves as a browser with our page in it.

It keeps a cookie, loads the page of a sale, holds the page's socket, clicks with a ticket, sends the
same ticket again where no answer came, waits for what becomes of it, and writes down all that it was
told. It knows nothing of the database: `drills/consistency.py` compares its log with that.
"""

import asyncio
import json
import random
import re
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from drills.http import Answer, Connection, request
from flashsale.http import shoppers
from inventory.click_answers import ClickAnswer

# As static/js/shop.js and templates/storefront/_outcome.html have it, in seconds.
PATIENCE = 10.0  # until an answer counts as lost
RETRY = 1.0  # until a click without an answer is sent again; then twice as long, and so on
LONGEST_RETRY = 15.0
RETRIES = 30
SOON = 0.5  # until a page asks for the first time what became of a purchase
POLL = 4.0  # between its further questions

CONNECTIONS = 6  # at once, as browsers have them
LOST, LEFT = "lost", "left"  # no answer came; nobody waited for it
FORM = "application/x-www-form-urlencoded"
FINAL = ("confirmed", "rejected", "cancelled")
STATUSES = ("queued", *FINAL)
SOCKET, ASKED, CLICKED = "socket", "asked", "clicked"  # how a shopper was told

_GONE = (OSError, TimeoutError, WebSocketException)
_SECTION = re.compile(r'<section id="buy-.*?</section>', re.S)
_TICKET = re.compile(r'name="ticket" value="([^"]+)"')
_PRODUCT = re.compile(r'name="product" value="([^"]+)"')
_PURCHASE = re.compile(r'id="purchase-([0-9a-f-]{36})"')
_MOST = re.compile(r' max="(\d+)"')
_LEFT = re.compile(r'id="stock-([^"]+)" class="stock" data-left="(\d+)"')
_OUTCOME = re.compile(r'id="purchase-([0-9a-f-]{36})" class="outcome" data-status="(\w+)"')


class Site:
    """A shop and where it is reached. Raises ValueError for what is not the address of one."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if parts.scheme not in ("http", "https") or not parts.hostname or extra:
            raise ValueError(f"{url!r} is not like http://127.0.0.1:8000")
        secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if secure else 80)
        self.netloc = parts.netloc
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.sockets = f"{'wss' if secure else 'ws'}://{parts.netloc}"
        self.tls = ssl.create_default_context() if secure else None


class Form(NamedTuple):
    """What a page offers to send: a product, on a ticket."""

    purchase: str
    ticket: str
    sku: str
    most: int  # units that one shopper may buy


class Page(NamedTuple):
    forms: list[Form]
    left: dict[str, int]


class Heard(NamedTuple):
    """What one click was answered. Times are of the monotonic clock, in seconds."""

    form: str  # the purchase for which its ticket was made; "" where it had none of ours
    sent: float
    took: float
    status: int  # 0: no answer
    code: str  # what the contract calls the answer; LOST; LEFT
    wait: float = 0.0  # seconds after which it may be asked again
    purchase: str = ""  # which the answer names, and what has become of it
    became: str = ""
    reason: str | None = None
    odd: bool = False  # whether no page of ours would have sent it

    @property
    def accepted(self) -> bool:
        told = self.status in (200, 202) or self.code == ClickAnswer.TICKET_REUSED.code
        return told and self.purchase != ""

    @property
    def unsure(self) -> bool:
        """Whether the purchase may stand in the line although nobody says so."""
        return self.code in (LOST, LEFT, ClickAnswer.UNKNOWN.code)


class Told(NamedTuple):
    """What a shopper was told about a purchase."""

    purchase: str
    status: str
    reason: str | None  # None: not said
    how: str
    asked: float  # when the question was sent; of a socket, when its frame came
    at: float


@dataclass
class Log:
    """All that one shopper experienced."""

    habit: str = ""
    shopper: UUID | None = None
    pages: list[float] = field(default_factory=list)  # seconds until each was there
    pages_lost: int = 0
    instead: str = ""  # of the latest page that was lost: what came
    sent: dict[str, set[tuple[str, str]]] = field(default_factory=dict)  # sku and units by form
    clicked: dict[str, float] = field(default_factory=dict)  # the click that was accepted, by form
    heard: list[Heard] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)  # accepted, and unknown later
    told: list[Told] = field(default_factory=list)
    final: dict[str, Told] = field(default_factory=dict)  # the first final answer to each purchase
    sockets_opened: int = 0
    sockets_refused: int = 0
    sockets_lost: int = 0

    def hear(self, heard: Heard) -> None:
        self.heard.append(heard)
        if heard.accepted:
            self.accepted.add(heard.purchase)

    def tell(self, told: Told) -> None:
        self.told.append(told)
        if told.status in FINAL:
            self.final.setdefault(told.purchase, told)


class Shopper:
    """A browser of its own. From `closing` on it makes no new click, and still finds out what became
    of the old ones."""

    def __init__(
        self,
        site: Site,
        slug: str,
        *,
        closing: asyncio.Event | None = None,
        seed: str = "",
        habit: str = "",
    ) -> None:
        self.site, self.slug = site, slug
        self.closing = closing or asyncio.Event()
        self.random = random.Random(seed or None)  # noqa: S311  # chooses products, protects nothing
        self.log = Log(habit)
        self._cookie = ""
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._answered: dict[str, asyncio.Event] = {}  # of what was accepted, set when final
        self._unsure: dict[str, tuple[Form, object]] = {}
        self._forms: dict[str, tuple[Form, object]] = {}
        self._watching: asyncio.Task[None] | None = None

    # --- The page ---------------------------------------------------------------------------------

    async def look(self) -> Page | None:
        """Loads the page of the sale. None where it did not come."""
        began = time.monotonic()
        try:
            answer = await self._exchange("GET", f"/sales/{self.slug}/", accept="text/html")
        except _GONE as error:
            self._lost_page(str(error) or type(error).__name__)
            return None
        if answer.status != 200:
            self._lost_page(f"HTTP {answer.status}")
            return None
        self.log.pages.append(time.monotonic() - began)
        self._keep_cookie(answer.header("set-cookie"))
        return page_in(answer.body.decode())

    def _lost_page(self, instead: str) -> None:
        self.log.pages_lost += 1
        self.log.instead = instead

    def _keep_cookie(self, header: str) -> None:
        if header:
            self._cookie = header.partition(";")[0]
            self.log.shopper = shoppers.shopper_in(self._cookie.partition("=")[2])

    # --- The socket -------------------------------------------------------------------------------

    def watch(self) -> None:
        """Opens the page's socket, and opens it again whenever it is lost, until `leave`."""
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        attempt = 0
        while True:
            opened = False
            try:
                async with self._connect() as socket:
                    opened, attempt = True, 0
                    self.log.sockets_opened += 1
                    async for frame in socket:
                        self._read_frame(str(frame))
            except _GONE:
                pass
            if opened:
                self.log.sockets_lost += 1
            else:
                self.log.sockets_refused += 1
            await asyncio.sleep(self.random.random() * 2 ** min(attempt, 6))  # as htmx does
            attempt += 1

    def _connect(self) -> connect:
        return connect(
            f"{self.site.sockets}/ws/sales/{self.slug}/",
            additional_headers={"Cookie": self._cookie, "Origin": self.site.origin},
            ssl=self.site.tls,
            proxy=None,
            compression=None,
            open_timeout=PATIENCE,
            close_timeout=1,
        )

    def _read_frame(self, frame: str) -> None:
        now = time.monotonic()
        for purchase, status in _OUTCOME.findall(frame):
            if status in STATUSES:
                self._tell(Told(purchase, status, None, SOCKET, now, now))

    # --- Clicking ---------------------------------------------------------------------------------

    async def buy(self, form: Form, units: object = 1) -> Heard:
        """Clicks, and sends the same ticket again while the answer is lost, "busy" or "too fast".
        Gives the last answer."""
        for attempt in range(RETRIES):
            heard = await self.click(form, units)
            if not heard.unsure and not heard.wait:
                break
            pause = about(self.random, min(RETRY * 2**attempt, LONGEST_RETRY))
            await self.pause(max(heard.wait, pause))
            if self.closing.is_set() and form.purchase not in self._unsure:
                break  # it has bought nothing, and is not to buy now
        return heard

    async def click(
        self, form: Form, units: object = 1, *, leave_after: float = PATIENCE, odd: bool = False
    ) -> Heard:
        """One click. Closes its connection where no answer came for `leave_after` seconds."""
        sent = time.monotonic()
        if not odd:
            self._forms[form.purchase] = form, units
            self.log.sent.setdefault(form.purchase, set()).add((form.sku, str(units)))
            self.log.clicked.setdefault(form.purchase, sent)
        fields = {"ticket": form.ticket, "product": form.sku, "quantity": units}
        answer = await self._send(urlencode(fields).encode(), FORM, leave_after)
        return self._hear(answer._replace(form=form.purchase, odd=odd))

    async def try_odd(self, body: bytes, content_type: str) -> Heard:
        """Sends to where clicks go what no page of ours sends."""
        answer = await self._send(body, content_type, PATIENCE)
        return self._hear(answer._replace(odd=True))

    async def _send(self, body: bytes, content_type: str, leave_after: float) -> Heard:
        sent = time.monotonic()
        path = f"/sales/{self.slug}/buy"
        try:
            answer = await self._exchange(
                "POST", path, body=body, content_type=content_type, patience=leave_after
            )
        except _GONE as error:
            left = isinstance(error, TimeoutError) and leave_after < PATIENCE
            return Heard("", sent, time.monotonic() - sent, 0, LEFT if left else LOST)
        return _heard(answer, sent)

    def _hear(self, heard: Heard) -> Heard:
        self.log.hear(heard)
        if heard.accepted:
            self._unsure.pop(heard.form, None)
            self.log.clicked.setdefault(heard.form, heard.sent)
            self._answered.setdefault(heard.purchase, asyncio.Event())
            at = heard.sent + heard.took
            if heard.became in STATUSES:
                told = Told(heard.purchase, heard.became, heard.reason, CLICKED, heard.sent, at)
                self._tell(told)
        elif heard.odd:
            pass
        elif heard.unsure:
            if heard.form not in self._answered:
                self._unsure[heard.form] = self._forms[heard.form]
        elif heard.form not in self._answered:
            # Refused: nothing was used up, and how long a later click takes counts from that one.
            self._unsure.pop(heard.form, None)
            self.log.clicked.pop(heard.form, None)
        return heard

    # --- What became of it ------------------------------------------------------------------------

    async def outcomes(self) -> None:
        """Waits for the final answer to all that was accepted. Whether a click whose answer was lost
        is of these, the same ticket finds out. Waits for ever: who wants to, sets a time-out."""
        await asyncio.gather(*(self.buy(*clicked) for clicked in list(self._unsure.values())))
        await asyncio.gather(*(self.outcome(purchase) for purchase in list(self._answered)))

    async def outcome(self, purchase: str) -> None:
        """Waits for one final answer: on the socket, and by asking once soon, then slowly."""
        answered = self._answered.setdefault(purchase, asyncio.Event())
        pause = SOON
        while not answered.is_set() and purchase not in self.log.forgotten:
            with suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), about(self.random, pause))
            if not answered.is_set():
                await self.ask(purchase)
            pause = POLL
        if self._only_rejected(purchase):
            await self.ask(purchase)  # as the page does, which needs a fresh ticket

    def _only_rejected(self, purchase: str) -> bool:
        """Whether it was rejected, and nobody has said why: sockets do not."""
        told = [told for told in self.log.told if told.purchase == purchase]
        reasons = [each.reason for each in told if each.status == "rejected"]
        return bool(reasons) and not any(reasons)

    async def ask(self, purchase: str) -> None:
        """Asks once what became of a purchase. One that nobody knows any more is bought again."""
        asked = time.monotonic()
        try:
            answer = await self._exchange("GET", f"/orders/{purchase}/")
        except _GONE:
            return
        content = _json(answer)
        status, reason = str(content.get("status")), str(content.get("reason", ""))
        if answer.status == 200 and status in STATUSES:
            self._tell(Told(purchase, status, reason, ASKED, asked, time.monotonic()))
        elif answer.status == 404 and purchase in self._forms:
            heard = await self.buy(*self._forms[purchase])
            if not heard.accepted and not heard.unsure:
                self.log.forgotten.add(purchase)

    def _tell(self, told: Told) -> None:
        self.log.tell(told)
        if told.status in FINAL:
            self._answered.setdefault(told.purchase, asyncio.Event()).set()

    # --- Coming and going -------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        """So long, or until `closing`; after that, so long again."""
        if self.closing.is_set():
            await asyncio.sleep(seconds)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), seconds)

    async def leave(self) -> None:
        """Closes the page: its socket and its connections."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        for connection in self._idle:
            connection.close()

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/json",
        body: bytes | None = None,
        content_type: str = FORM,
        patience: float = PATIENCE,
    ) -> Answer:
        """One request. Raises OSError where the server went away, TimeoutError where it is silent."""
        headers = {"Host": self.site.netloc, "Accept": accept}
        if self._cookie:
            headers["Cookie"] = self._cookie
        if body is not None:
            headers |= {"Origin": self.site.origin, "Content-Type": content_type}
        async with self._slots, asyncio.timeout(patience):
            connection = await self._connection()
            answer = await connection.send(request(method, path, headers, body))
            if answer.header("connection") == "close":
                connection.close()
            else:
                self._idle.append(connection)
        return answer

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return await Connection.open(self.site.host, self.site.port, self.site.tls)


def page_in(html: str) -> Page:
    """What the forms of a sale's page can send, and what is left of each product."""
    forms = []
    for section in _SECTION.findall(html):
        ticket, purchase = _TICKET.search(section), _PURCHASE.search(section)
        most = _MOST.search(section)
        if ticket and purchase and most:
            for sku in _PRODUCT.findall(section):  # a form may let choose between several
                forms.append(Form(purchase[1], ticket[1], sku, int(most[1])))
    return Page(forms, {sku: int(left) for sku, left in _LEFT.findall(html)})


def about(chance: random.Random, seconds: float) -> float:
    """A crowd that fell out together comes back in turn."""
    return seconds * (0.75 + chance.random() / 2)


def _heard(answer: Answer, sent: float) -> Heard:
    took = time.monotonic() - sent
    content = _json(answer)
    if not content:  # a proxy in front of a server that is gone answers with a page of its own
        return Heard("", sent, took, answer.status, LOST)
    became, reason, wait = (
        content.get("status"),
        content.get("reason"),
        answer.header("retry-after"),
    )
    return Heard(
        "",
        sent,
        took,
        answer.status,
        code=str(content.get("error") or (reason if became == "refused" else became)),
        wait=float(wait) if wait.isdigit() else 0.0,
        purchase=_uuid(content.get("purchase")),
        became=str(became or ""),
        reason=None if reason is None else str(reason),
    )


def _uuid(given: object) -> str:
    """As text; empty for what is none."""
    try:
        return str(UUID(str(given)))
    except ValueError:
        return ""


def _json(answer: Answer) -> dict[str, object]:
    try:
        content = json.loads(answer.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
