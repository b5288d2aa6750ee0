"""A shopper checks a draw in the browser: the page finds what the shop's own check finds."""

import io
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Page

from orders.draws import record
from orders.draws.record_check import CHECKS, Published, check
from orders.draws.tests.drand import answer_text, serving
from orders.draws.tests.faulty import CHEATS, DRAW, LINES, MALFORMED, REMADE
from orders.draws.tests.made_draws import DRAWS, Draw, make_draw, published_of
from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.browser

SCRIPT = Path(settings.BASE_DIR) / "static" / "js" / "draw.js"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
RESULTS = ("ok", "fault", "malformed", "unreachable", "insecure")
CLICK = """() => new Promise((resolve) => {
  document.addEventListener("draw:checked", (event) => resolve(event.detail), { once: true });
  document.querySelector("[data-draw-start]").click();
})"""


def markup(published: Published, entry: str) -> str:
    """The markup that the script's first lines ask for."""
    items = "".join(
        f'<li data-draw-check="{name}">{name}'
        + "".join(
            f'<span data-draw-when="{state}" hidden> {state}</span>'
            for state in ("ok", "fault", "unverified")
        )
        for name in CHECKS
    )
    results = "".join(f'<p data-draw-result="{name}" hidden>{name}</p>' for name in RESULTS)
    mine = "".join(
        f'<p data-draw-entry-is="{name}" hidden>{name} <b data-draw-value="rank"></b></p>'
        for name in ("ranked", "set_aside", "missing")
    )
    rounds = "" if published.commitment is None else str(published.round or 0)
    return f"""<!doctype html><title>Draw</title>
      <section data-draw="/draw.csv" data-entry="{entry}" data-round="{rounds}"
      data-commitment="{published.commitment or ""}" data-root="{published.root or ""}">
      <input data-draw-noted="root"><button type="button" data-draw-start hidden>Check</button>
      <progress data-draw-progress hidden></progress><ul>{items}</ul>{results}{mine}</section>
      <script type="module" src="/draw.js"></script>"""


class Site:
    """Serves a page, the script and a file, under the shop's content policy."""

    def __init__(self) -> None:
        self.file, self.page, self.status = b"", "", 200

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        kinds = {"/": "text/html", "/draw.js": "text/javascript", "/draw.csv": "text/csv"}
        if handler.path not in kinds:
            return answer_text(handler, "", 204)
        bodies = {"/": self.page.encode(), "/draw.js": SCRIPT.read_bytes(), "/draw.csv": self.file}
        body = bodies[handler.path]
        handler.send_response(self.status if handler.path == "/draw.csv" else 200)
        handler.send_header("Content-Type", kinds[handler.path])
        handler.send_header("Content-Security-Policy", POLICY)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return None


CheckPage = Callable[..., dict[str, Any]]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def page(site: Site, open_page: OpenPage) -> Iterator[Page]:
    with serving(site.answer) as url:
        yield open_page(url)


@pytest.fixture
def check_in(page: Page, site: Site) -> CheckPage:
    """Opens a page for a file, checks it, and gives the detail of the script's event."""

    def run(text: bytes, published: Published | None = None, entry: str = "") -> dict[str, Any]:
        site.file, site.page = text, markup(published or Published(), entry)
        page.reload()
        said: dict[str, Any] = page.evaluate(CLICK)
        return said

    return run


def faults_of(text: bytes, published: Published | None = None) -> set[str]:
    return {fault.check for fault in check(record.read(io.BytesIO(text)), published)}


def test_the_browser_finds_the_same_faults(check_in: CheckPage) -> None:
    cases: list[tuple[str, Draw, Published | None]] = [
        *((draw.header.sale, draw, None) for draw in DRAWS),
        *((draw.header.sale, draw, published_of(draw)) for draw in DRAWS),
        *((draw.header.sale, draw, published_of(DRAW)) for draw in DRAWS),
        ("a beacon that was not published", DRAW, published_of(DRAWS[0])),
        *((cheat, draw, None) for cheat, (draw, _) in CHEATS.items()),
        *((cheat, draw, published_of(DRAW)) for cheat, (draw, _) in REMADE.items()),
    ]
    for name, draw, published in cases:
        said = check_in(draw.text(), published)
        expected = faults_of(draw.text(), published)
        assert set(said["faults"]) == expected, name
        assert said["result"] == ("fault" if expected else "ok"), name


def test_the_browser_refuses_the_same_files(check_in: CheckPage) -> None:
    for kind in MALFORMED:
        said = check_in(MALFORMED[kind].encode(errors="surrogateescape"))
        assert said["result"] == "malformed", kind


def test_the_browser_does_not_read_on_after_an_entry_too_many(check_in: CheckPage) -> None:
    text = "".join([*LINES, LINES[-1], "?" * 3_000_000]).encode()
    assert check_in(text)["faults"] == ["entries", "root"]


def test_the_page_shows_each_check_the_result_and_the_shoppers_rank(
    check_in: CheckPage, page: Page
) -> None:
    first = DRAW.lots[0]
    check_in(DRAW.text(), published_of(DRAW), str(first.entry))
    shown = page.locator("section").inner_text().split("\n")
    states = [f"{name} {'unverified' if name == 'beacon' else 'ok'}" for name in CHECKS]
    assert [line for line in shown if line] == ["Check", *states, "ok", f"ranked {first.rank}"]


def test_the_page_says_of_an_entry_that_it_was_set_aside_or_is_missing(
    check_in: CheckPage, page: Page
) -> None:
    for entry, told in ((DRAW.lots[1].entry.hex, "set_aside"), ("0" * 32, "missing")):
        check_in(DRAW.text(), None, entry)
        assert page.locator("[data-draw-entry-is]:visible").inner_text().strip() == told


def test_a_root_that_the_shopper_noted_is_compared(check_in: CheckPage, page: Page) -> None:
    check_in(DRAW.text(), published_of(DRAW))
    page.locator("input").fill(DRAWS[0].header.root)
    assert page.evaluate(CLICK)["faults"] == ["root"]
    page.locator("input").fill(f" {DRAW.header.root.upper()} ")
    assert page.evaluate(CLICK)["faults"] == []


def test_a_file_that_cannot_be_fetched_is_no_fault(
    check_in: CheckPage, site: Site, complaints: Any
) -> None:
    complaints.expect("503")
    site.status = 503
    assert check_in(DRAW.text())["result"] == "unreachable"


def test_a_page_without_https_says_that_it_cannot_check(check_in: CheckPage, page: Page) -> None:
    page.add_init_script("Object.defineProperty(window, 'crypto', { value: {} })")
    assert check_in(DRAW.text())["result"] == "insecure"
    assert page.locator("[data-draw-result]:visible").inner_text() == "insecure"


@pytest.mark.parametrize("entries", [5_000, pytest.param(100_000, marks=pytest.mark.deep)])
def test_a_large_draw_is_checked_without_a_frozen_page(
    check_in: CheckPage, page: Page, entries: int
) -> None:
    draw = make_draw("large", [("shoe-42", 1), ("shoe-43", 2)] * (entries // 2), {"shoe-42": 100})
    page.add_init_script(
        "let last = performance.now(); window.longest = 0; setInterval(() => {"
        " const now = performance.now(); longest = Math.max(longest, now - last); last = now; }, 1);"
    )
    assert check_in(draw.text(), published_of(draw))["result"] == "ok"
    assert page.evaluate("longest") < 1_000  # ms between two turns of the page
