"""One simulated shopper's way from a held order through its checkout and the provider's page.

The shopper behaves like a browser without JavaScript: fills in the forms that the pages serve, follows
redirects and links, and sends a request again if no answer comes or the shop cannot answer now.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from drills.answers import parse_json
from drills.forms import PageContent, PageForm, parse_content
from drills.http import FORM, Answer, Browser, Site

PATIENCE = 30.0  # seconds until an answer is lost: a provider may take 20
RETRY = 1.0  # seconds until a request is sent again; doubles with each attempt
LONGEST_RETRY = 5.0
POLL = 2.0  # seconds between two looks at a payment that is on its way
_REDIRECTS = 10
_COUNTRY = "DE"
# example.com is reserved: no mail reaches a person.
_ANSWERS = {
    "email": "shopper@example.com",
    "country": _COUNTRY,
    "name": "Sam Shopper",
    "street": "Teststraße 1",
    "postcode": "10115",
    "city": "Berlin",
}
LEAVE = "leave"  # the choice on the provider's page that never leads back

Times = dict[str, list[float]]  # seconds of each answered request, by kind of page


class UnexpectedAnswer(Exception):
    """The shop answered what none of its pages should lead to. The message names request and status."""


class View(NamedTuple):
    """A page, and the address under which it was found in the end."""

    url: str
    answer: Answer

    def parse(self) -> PageContent:
        return parse_content(self.answer.body.decode())


class PaymentPage(NamedTuple):
    """The provider's page, which waits for the shopper's choice."""

    url: str
    form: PageForm


class Checkout:
    """The checkout of one order. `browser` has the shopper's cookies, or the key of the order's link.

    Its methods repeat what gets no answer, without end: the caller sets a deadline. They raise
    UnexpectedAnswer.
    """

    def __init__(
        self,
        site: Site,
        browser: Browser,
        purchase: str,
        chance: random.Random,
        *,
        times: Times | None = None,
        slots: asyncio.Semaphore | None = None,
        typing: float = 0.0,
        paying: float = 0.0,
    ) -> None:
        """`times` collects how long answers took. `slots` bounds the requests of many shoppers. `typing`
        and `paying` are how many seconds the form and the provider's page take to fill in."""
        self._site, self._purchase, self._chance = site, purchase, chance
        self._typing, self._paying = typing, paying
        self._browsers = {site.origin: browser}
        self._times: Times = defaultdict(list) if times is None else times
        self._slots = slots or asyncio.Semaphore()

    async def pay(self, choices: Sequence[str]) -> str:
        """Go through the checkout as often as there are choices for the provider's page. Return the
        order's status at the end: "held" if the choices do not lead back, or pay nothing."""
        left = list(choices)
        while True:
            page = await self.open_payment()
            if page is not None:
                if not left:
                    return await self.read_status()
                choice = left.pop(0)
                await asyncio.sleep(self._paying)
                await self.choose(page, choice)
                if choice == LEAVE:
                    return "held"
            status = await self.read_status()
            if status != "held":
                return status
            if page is None:
                await self.pause(POLL)
                await self._go(self._path("checkout/back"))

    async def open_payment(self) -> PaymentPage | None:
        """Send the shopper's details, and return the provider's page. None if there is nothing to choose:
        the order costs nothing, is paid, is not held any more, or a payment is on its way."""
        view = await self._go(self._path("checkout/"))
        form = self._details_form(view)
        if form is not None and form.fields.get("country", _COUNTRY) != _COUNTRY:
            form.fields["country"] = ""
            view = await self._send(view, form, _ANSWERS, change="1")
            form = self._details_form(view)
        if form is None:
            return None
        await asyncio.sleep(self._typing)
        view = await self._send(view, form, _ANSWERS)
        if self._details_form(view) is not None and view.answer.status != 200:
            raise UnexpectedAnswer(f"the checkout's form: {view.answer.status}")
        return await self._find_payment_page(view)

    async def choose(self, page: PaymentPage, choice: str) -> None:
        """Press a button of the provider's page, and follow it back to the shop."""
        await self._go(urljoin(page.url, page.form.action), page.form.fill_in({}, choice=choice))

    async def give_back(self) -> None:
        """Give the hold back by the form on the order's page. Does nothing if there is none any more."""
        view = await self._go(self._path())
        forms = (form for form in view.parse().forms if form.action.endswith("/give-back"))
        if form := next(forms, None):
            await self._send(view, form, {})

    async def read_status(self) -> str:
        """Ask for the order's status as programs do."""
        answer = await self._ask(self._path(), None, accept="application/json")
        status = parse_json(answer).get("status")
        if answer.status != 200 or not status:
            raise UnexpectedAnswer(f"GET the order: {answer.status}")
        return str(status)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds * (0.75 + self._chance.random() / 2))

    def close(self) -> None:
        for browser in self._browsers.values():
            browser.close()

    # --- Pages ------------------------------------------------------------------------------------

    def _path(self, page: str = "") -> str:
        return f"{self._site.origin}/orders/{self._purchase}/{page}"

    def _details_form(self, view: View) -> PageForm | None:
        forms = view.parse().forms if urlsplit(view.url).path.endswith("/checkout/") else []
        return next((form for form in forms if form.action.endswith("/checkout/")), None)

    async def _find_payment_page(self, view: View) -> PaymentPage | None:
        """The page to which the checkout has led, or leads by itself: a policy of content forbids forms
        to lead to another site."""
        content = view.parse()
        if (form := content.form_with("choice")) is not None:
            return PaymentPage(view.url, form)
        elsewhere = content.refresh
        if _origin(elsewhere) in (self._site.origin, ""):
            return None
        view = await self._go(elsewhere)
        form = view.parse().form_with("choice")
        return PaymentPage(view.url, form) if form is not None else None

    async def _send(
        self, view: View, form: PageForm, answers: dict[str, str], **pressed: str
    ) -> View:
        return await self._go(urljoin(view.url, form.action), form.fill_in(answers, **pressed))

    # --- Requests ---------------------------------------------------------------------------------

    async def _go(self, url: str, body: bytes | None = None) -> View:
        """Ask, and follow redirects."""
        for _ in range(_REDIRECTS):
            answer = await self._ask(url, body)
            if answer.status not in (301, 302, 303):
                return View(url, self._checked(url, answer))
            url, body = urljoin(url, answer.header("location")), None
        raise UnexpectedAnswer(f"redirects without end to {url}")

    def _checked(self, url: str, answer: Answer) -> Answer:
        if answer.status not in (200, 409, 410, 422):
            raise UnexpectedAnswer(f"{urlsplit(url).path}: {answer.status}")
        return answer

    async def _ask(self, url: str, body: bytes | None, accept: str = "text/html") -> Answer:
        """Send a request, again while it is not answered or the answer is "not now"."""
        attempt = 0
        while True:
            wait = min(RETRY * 2**attempt, LONGEST_RETRY)
            try:
                answer = await self._ask_once(url, body, accept)
            except (OSError, TimeoutError):
                pass
            else:
                if answer.status < 500 and answer.status != 429:
                    return answer
                given = answer.header("retry-after")
                wait = float(given) if given.isdigit() else wait
            await self.pause(wait)
            attempt += 1

    async def _ask_once(self, url: str, body: bytes | None, accept: str) -> Answer:
        browser, path = self._browser_for(url), _path_of(url)
        async with self._slots:
            began = time.monotonic()
            if body is None:
                answer = await browser.get(path, PATIENCE, accept)
            else:
                answer = await browser.post(path, PATIENCE, body, FORM, accept)
            took = time.monotonic() - began
        browser.keep_cookies(answer)
        self._times[kind_of(url, sent=body is not None)].append(took)
        return answer

    def _browser_for(self, url: str) -> Browser:
        origin = _origin(url)
        if origin not in self._browsers:
            self._browsers[origin] = Browser(Site(origin))
        return self._browsers[origin]


CHECKOUT, DETAILS, RETURN = "checkout", "details sent", "return to the shop"
PROVIDER, CHOICE, ORDER = "provider's page", "choice sent", "order"


def kind_of(url: str, *, sent: bool) -> str:
    """Which page of a checkout a request is for."""
    path = urlsplit(url).path
    if path.endswith("/checkout/"):
        return DETAILS if sent else CHECKOUT
    if path.endswith("/checkout/back"):
        return RETURN
    if path.startswith("/orders/"):
        return ORDER
    return CHOICE if sent else PROVIDER


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
