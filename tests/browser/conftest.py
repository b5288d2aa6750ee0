"""A real Chromium, a context for each shopper, and a list of all that it complains about."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    WebError,
    expect,
    sync_playwright,
)

from bench.chromium import ABSENT, ARGUMENTS, executable
from conftest import MakeSale
from tests import deadlines, stack

PATIENCE = deadlines.seconds(30_000)  # ms; far more than anything takes but a page that asks slowly
SLOW_PATIENCE = deadlines.seconds(90_000)  # ms; a page without its socket asks every 8 s

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Playwright's loop runs in this thread, and Django takes the tests for coroutines.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        expect.set_options(timeout=PATIENCE)
        yield playwright


@pytest.fixture(scope="session")
def program(driver: Playwright) -> Path:
    """The browser's."""
    path = executable(driver)
    if path is None and os.environ.get("CI"):
        pytest.fail(ABSENT)
    if path is None:
        pytest.skip(ABSENT)
    return path


@pytest.fixture(scope="session")
def chromium(driver: Playwright, program: Path) -> Iterator[Browser]:
    browser = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
    yield browser
    browser.close()


@dataclass
class Complaints:
    """What browsers have logged as errors: scripts that fail, what the content policy forbids, answers
    that are no success."""

    heard: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, *patterns: str) -> None:
        """A test in which a server is gone says what its browser will complain about."""
        self.expected.extend(patterns)

    def listen_to(self, context: BrowserContext) -> None:
        """Until `forget`. The context was made by `new_context`."""
        context.on("console", self._hear)
        context.on("weberror", self._note)

    def forget(self, context: BrowserContext) -> None:
        context.remove_listener("console", self._hear)
        context.remove_listener("weberror", self._note)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.heard.append(f"{said.text} ({said.location['url']})")

    def _note(self, failed: WebError) -> None:
        self.heard.append(str(failed.error))

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.heard if not any(re.search(p, text) for p in self.expected)]


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


class Shoppers:
    """Contexts of one browser, which tests use in turn: a new one takes more processor time than a page.

    Between two tests a context loses its pages and cookies, and keeps its copies of styles and scripts.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[str, list[BrowserContext]] = defaultdict(list)

    def take(self, **options: Any) -> BrowserContext:
        """As a shopper who has never been here."""
        free = self._free[repr(options)]
        return free.pop() if free else self.new(**options)

    def new(self, **options: Any) -> BrowserContext:
        return watched(self._browser.new_context(**options))

    def give_back(self, context: BrowserContext, **options: Any) -> None:
        for page in context.pages:
            page.close()
        context.set_offline(False)
        context.clear_cookies()
        self._free[repr(options)].append(context)


def watched(context: BrowserContext) -> BrowserContext:
    """Has its pages log what their content policy forbids."""
    context.set_default_timeout(PATIENCE)
    context.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) =>"
        " console.error(`forbidden by ${event.violatedDirective}: ${event.blockedURI}`));"
    )
    return context


@pytest.fixture(scope="session")
def shoppers(chromium: Browser) -> Shoppers:
    return Shoppers(chromium)


@pytest.fixture
def open_page(
    shoppers: Shoppers,
    complaints: Complaints,
    make_sale: MakeSale,  # pages are closed before their sales are taken away
) -> Iterator[OpenPage]:
    """Opens an address as a shopper who has never been here, or with cookies, by name. The page runs
    `script` before its own; with a `clock` it tells the time by one that tests can stop, or move: by less
    than ten minutes, after which a page asks for the time."""
    taken: list[tuple[BrowserContext, dict[str, Any], bool]] = []

    def open_page(
        address: str,
        cookies: dict[str, str] | None = None,
        script: str = "",
        clock: bool = False,
        **options: Any,
    ) -> Page:
        options = {"locale": "en-GB", **options}
        context = shoppers.new(**options) if clock else shoppers.take(**options)
        taken.append((context, options, clock))
        complaints.listen_to(context)
        for name, value in (cookies or {}).items():
            context.add_cookies(
                [{"name": name, "value": value, "domain": "127.0.0.1", "path": "/"}]
            )
        page = context.new_page()
        if clock:  # of the whole context, for good
            page.clock.install()
        if script:
            page.add_init_script(script)
        page.goto(address)
        return page

    yield open_page
    for context, options, spent in taken:
        context.close() if spent else shoppers.give_back(context, **options)
        complaints.forget(context)
    assert complaints.unexpected == []


@pytest.fixture(scope="session")
def server() -> Iterator[stack.Web]:
    with stack.Web.running() as web:
        yield web


@pytest.fixture(scope="session")
def worker() -> Iterator[stack.Process]:
    """Started by `shop`, ended by `no_worker`: tests in a row that need the same share it."""
    process = stack.Process(stack.WORKER)
    yield process
    process.stop()


@pytest.fixture
def no_worker(worker: stack.Process) -> None:
    worker.stop()
    worker.popen = None


@pytest.fixture
def web(server: stack.Web, no_worker: None) -> stack.Web:
    """A server of a shop in which nothing is settled, unless the test starts a worker."""
    return server


@pytest.fixture
def shop(server: stack.Web, worker: stack.Process) -> str:
    """The address of a shop in which everything runs."""
    if worker.popen is None:
        worker.start()
    assert worker.popen is not None
    assert worker.popen.poll() is None, "the worker ended by itself"
    return server.url
