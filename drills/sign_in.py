"""Simulated shoppers who sign in by a code, which they read from the mails of a trial.

A shop without a mail server writes mails to files. Here they are the mailboxes of a domain, whose owner
reads them all: a bot with a domain of its own has as many addresses as it wants.
"""

import asyncio
import email
import email.policy
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from drills.forms import PageForm, parse_content
from drills.http import FORM, Answer, Browser, Site

PATIENCE = 30.0  # seconds until an answer, or a mail, is lost
_RETRY = 0.5  # seconds after a lost answer, or one that says to come later
_LOOK = 0.1  # seconds between two looks into the mailboxes
_AT_ONCE = 32  # shoppers who sign in at the same time
_CODE = re.compile(r"(\d{3})\s(\d{3})\Z")
_REFUSED = 429

Cookies = dict[str, str]


class Client(NamedTuple):
    """Who signs in: from which address of the network, with which of mail."""

    source: str
    mailbox: str


class UnexpectedAnswer(Exception):
    """The shop answered what no page of the sign-in leads to."""


async def sign_in_all(site: Site, clients: Sequence[Client], folder: Path) -> list[Cookies | None]:
    """Sign all in. Returns the cookies of each; None for those from whose address too many have. Raises
    UnexpectedAnswer, and TimeoutError without a mail."""
    mailboxes, free = _Mailboxes(folder), asyncio.Semaphore(_AT_ONCE)
    reading = asyncio.create_task(mailboxes.read())

    async def sign_in(client: Client) -> Cookies | None:
        async with free:
            return await _SignIn(Browser(site, client.source), client.mailbox, mailboxes).run()

    try:
        return list(await asyncio.gather(*(sign_in(client) for client in clients)))
    finally:
        reading.cancel()


class _SignIn:
    """One browser's way through the pages, without JavaScript."""

    def __init__(self, browser: Browser, mailbox: str, mailboxes: "_Mailboxes") -> None:
        self._browser, self._mailbox, self._mailboxes = browser, mailbox, mailboxes

    async def run(self) -> Cookies | None:
        try:
            form = await self._open("/sign-in/", "email")
            asked = await self._send(form, {"email": self._mailbox})
            if asked.status == _REFUSED:
                return None
            form = await self._open(asked.header("location"), "code")
            await self._send(form, {"code": await self._mailboxes.wait_for_code(self._mailbox)})
            return self._browser.cookies
        finally:
            self._browser.close()

    async def _open(self, path: str, field: str) -> PageForm:
        answer = await self._ask("GET", path)
        form = parse_content(answer.body.decode()).form_with(field)
        if form is None:
            raise UnexpectedAnswer(f"{path}: HTTP {answer.status} without a field {field}")
        return form

    async def _send(self, form: PageForm, answers: Cookies) -> Answer:
        answer = await self._ask("POST", form.action, form.fill_in(answers))
        if answer.status not in (303, _REFUSED):
            raise UnexpectedAnswer(f"{form.action}: HTTP {answer.status}")
        return answer

    async def _ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Ask, and again while the shop cannot answer."""
        while True:
            try:
                if method == "GET":
                    answer = await self._browser.get(path, PATIENCE, accept="text/html")
                else:
                    answer = await self._browser.post(path, PATIENCE, body, FORM, "text/html")
            except (OSError, TimeoutError):
                answer = None
            if answer and answer.status != 503:
                self._browser.keep_cookies(answer)
                return answer
            await asyncio.sleep(_RETRY)


class _Mailboxes:
    """The codes in a folder of mails, by address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = {path.name for path in folder.glob("*.eml")}
        self._codes: dict[str, asyncio.Future[str]] = defaultdict(
            asyncio.get_running_loop().create_future
        )

    async def read(self) -> None:
        """Read what comes, without end."""
        while True:
            for path in self._list_new():
                self._deliver(path)
            await asyncio.sleep(_LOOK)

    async def wait_for_code(self, mailbox: str) -> str:
        """Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            return await self._codes[mailbox]

    def _list_new(self) -> Iterable[Path]:
        new = [path for path in self._folder.glob("*.eml") if path.name not in self._known]
        self._known.update(path.name for path in new)
        return new

    def _deliver(self, path: Path) -> None:
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        code, to = _CODE.search(str(mail["Subject"])), self._codes[str(mail["To"])]
        if code and not to.done():
            to.set_result(code[1] + code[2])
