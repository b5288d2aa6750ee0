"""One simulated shopper, over HTTP and a socket, who behaves like the sale's page in a browser.

The shopper keeps a cookie, loads the page, holds its socket open, clicks with a ticket, sends the same
ticket again if no reply arrives, waits for the outcome, and logs everything. A shopper never reads the
database: `drills/log_check.py` compares the log with it.
"""

import asyncio
import random
import time
from contextlib import suppress
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from drills.answers import Form, Page, parse_frame, parse_json, parse_page, parse_reply
from drills.http import FORM, Browser, Site
from drills.shopper_log import (
    ASKED,
    CLICKED,
    FINAL,
    LEFT,
    LOST,
    SOCKET,
    STATUSES,
    WAITING,
    Log,
    Reply,
    Update,
)
from flashsale.http import shoppers

# As in static/js/shop.js and templates/storefront/_outcome.html, in seconds.
PATIENCE = 10.0  # until a reply counts as lost
RETRY = 1.0  # until a click without a reply is sent again; doubles with each attempt
LONGEST_RETRY = 15.0
RETRIES = 30
SOON = 0.5  # until a page asks for an outcome the first time
POLL = 4.0  # between its further questions

_GONE = (OSError, TimeoutError, WebSocketException)


class Shopper:
    """A simulated browser. Once `closing` is set it makes no new click, but still waits for the outcomes
    of earlier clicks."""

    def __init__(
        self,
        site: Site,
        slug: str,
        *,
        closing: asyncio.Event | None = None,
        seed: str = "",
        habit: str = "",
        source: str = "",
        awaits_draw: bool = False,
    ) -> None:
        """With `awaits_draw`, an entry that waits is not yet an outcome."""
        self._ends = set(FINAL) - {WAITING} if awaits_draw else set(FINAL)
        self._site, self.slug = site, slug
        self.closing = closing or asyncio.Event()
        self.random = random.Random(seed or None)  # noqa: S311  # chooses variants, protects nothing
        self.log = Log(habit)
        self.browser = Browser(site, source)
        self._answered: dict[str, asyncio.Event] = {}  # by accepted purchase; set when final
        self._unsure: dict[str, tuple[Form, object]] = {}
        self._forms: dict[str, tuple[Form, object]] = {}
        self._socket_task: asyncio.Task[None] | None = None

    # --- The page ---------------------------------------------------------------------------------

    async def load_page(self) -> Page | None:
        """Load the sale's page. None if it does not arrive."""
        began = time.monotonic()
        try:
            answer = await self.browser.get(f"/sales/{self.slug}/", PATIENCE, accept="text/html")
        except _GONE as error:
            self.log.record_lost_page(str(error) or type(error).__name__)
            return None
        if answer.status != 200:
            self.log.record_lost_page(f"HTTP {answer.status}")
            return None
        self.log.pages.append(time.monotonic() - began)
        self.browser.keep_cookie(answer)
        # A checkout and a sign-in add others.
        found = map(shoppers.shopper_in, self.browser.cookies.values())
        self.log.shopper = next(filter(None, found), None)
        return parse_page(answer.body.decode())

    # --- The socket -------------------------------------------------------------------------------

    def open_socket(self) -> None:
        """Open the page's socket, and reopen it whenever it is lost, until `leave`."""
        self._socket_task = asyncio.create_task(self._keep_socket_open())

    async def _keep_socket_open(self) -> None:
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
            f"{self._site.sockets}/ws/sales/{self.slug}/",
            additional_headers={"Cookie": self.browser.cookie, "Origin": self._site.origin},
            ssl=self._site.tls,
            proxy=None,
            compression=None,
            open_timeout=PATIENCE,
            close_timeout=1,
        )

    def _read_frame(self, frame: str) -> None:
        now = time.monotonic()
        for purchase, status in parse_frame(frame):
            if status in STATUSES:
                self._record_update(Update(purchase, status, None, SOCKET, now, now))

    # --- Clicking ---------------------------------------------------------------------------------

    async def buy(self, form: Form, units: object = 1) -> Reply:
        """Click, and send the same ticket again while the reply is lost, "busy" or "too fast". Return
        the last reply."""
        for attempt in range(RETRIES):
            reply = await self.click(form, units)
            if not reply.unsure and not reply.wait:
                break
            pause = jitter(self.random, min(RETRY * 2**attempt, LONGEST_RETRY))
            await self.pause(max(reply.wait, pause))
            if self.closing.is_set() and form.purchase not in self._unsure:
                break  # this ticket has bought nothing, and must not buy now
        return reply

    async def click(
        self,
        form: Form,
        units: object = 1,
        *,
        leave_after: float = PATIENCE,
        malformed: bool = False,
    ) -> Reply:
        """Click once. Close the connection if no reply arrives within `leave_after` seconds."""
        sent = time.monotonic()
        if not malformed:
            self._forms[form.purchase] = form, units
            self.log.sent.setdefault(form.purchase, set()).add((form.sku, str(units)))
            self.log.clicked.setdefault(form.purchase, sent)
        fields = {"ticket": form.ticket, "product": form.sku, "quantity": units}
        reply = await self._send(urlencode(fields).encode(), FORM, leave_after)
        return self._record_reply(reply._replace(form=form.purchase, malformed=malformed))

    async def send_malformed(self, body: bytes, content_type: str) -> Reply:
        """Send a body that no page sends to the address of clicks."""
        reply = await self._send(body, content_type, PATIENCE)
        return self._record_reply(reply._replace(malformed=True))

    async def _send(self, body: bytes, content_type: str, leave_after: float) -> Reply:
        sent = time.monotonic()
        path = f"/sales/{self.slug}/buy"
        try:
            answer = await self.browser.post(path, leave_after, body, content_type)
        except _GONE as error:
            left = isinstance(error, TimeoutError) and leave_after < PATIENCE
            return Reply("", sent, time.monotonic() - sent, 0, LEFT if left else LOST)
        return parse_reply(answer, sent)

    def _record_reply(self, reply: Reply) -> Reply:
        self.log.record_reply(reply)
        if reply.accepted:
            self._record_acceptance(reply)
        elif reply.malformed or reply.form in self._answered:
            pass
        elif reply.unsure:
            self._unsure[reply.form] = self._forms[reply.form]
        else:
            # A refusal leaves the ticket unused: the time to the outcome counts from a later click.
            self._unsure.pop(reply.form, None)
            self.log.clicked.pop(reply.form, None)
        return reply

    def _record_acceptance(self, reply: Reply) -> None:
        self._unsure.pop(reply.form, None)
        self.log.clicked.setdefault(reply.form, reply.sent)
        self._answered.setdefault(reply.purchase, asyncio.Event())
        if reply.became in STATUSES:
            at = reply.sent + reply.took
            self._record_update(
                Update(reply.purchase, reply.became, reply.reason, CLICKED, reply.sent, at)
            )

    # --- Outcomes ---------------------------------------------------------------------------------

    async def wait_for_outcomes(self) -> None:
        """Wait for the final status of every accepted purchase. A click whose reply was lost is sent
        again with the same ticket, which shows whether it was accepted. Has no time-out of its own."""
        await asyncio.gather(*(self.buy(*clicked) for clicked in list(self._unsure.values())))
        await asyncio.gather(*(self.wait_for_outcome(each) for each in list(self._answered)))

    async def wait_for_outcome(self, purchase: str) -> None:
        """Wait for the final status: listen on the socket, and ask once soon, then slowly."""
        answered = self._answered.setdefault(purchase, asyncio.Event())
        pause = SOON
        while not answered.is_set() and purchase not in self.log.forgotten:
            with suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), jitter(self.random, pause))
            if not answered.is_set():
                await self.ask_outcome(purchase)
            pause = POLL
        if self._lacks_a_reason(purchase):
            await self.ask_outcome(purchase)  # like the page, which needs a fresh ticket

    def _lacks_a_reason(self, purchase: str) -> bool:
        """Whether the purchase was rejected and no update gave a reason: sockets give none."""
        rejections = [
            update.reason
            for update in self.log.updates
            if update.purchase == purchase and update.status == "rejected"
        ]
        return bool(rejections) and not any(rejections)

    async def ask_outcome(self, purchase: str) -> None:
        """Ask once for a purchase's status. If the shop does not know the purchase, buy again."""
        asked = time.monotonic()
        try:
            answer = await self.browser.get(f"/orders/{purchase}/", PATIENCE)
        except _GONE:
            return
        content = parse_json(answer)
        status, reason = str(content.get("status")), str(content.get("reason", ""))
        if answer.status == 200 and status in STATUSES:
            update = Update(purchase, status, reason, ASKED, asked, time.monotonic())
            self._record_update(update)
        elif answer.status == 404 and purchase in self._forms:
            reply = await self.buy(*self._forms[purchase])
            if not reply.accepted and not reply.unsure:
                self.log.forgotten.add(purchase)

    def _record_update(self, update: Update) -> None:
        self.log.record_update(update)
        if update.status in self._ends:
            self._answered.setdefault(update.purchase, asyncio.Event()).set()

    # --- Coming and going -------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        """Sleep for so long, or until `closing` is set; if it is set already, for the whole time."""
        if self.closing.is_set():
            await asyncio.sleep(seconds)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), seconds)

    async def leave(self) -> None:
        """Close the page: its socket and its connections."""
        if self._socket_task is not None:
            self._socket_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._socket_task
        self.browser.close()


def jitter(chance: random.Random, seconds: float) -> float:
    """Vary a pause by 25 %, so that shoppers who failed together do not retry together."""
    return seconds * (0.75 + chance.random() / 2)
