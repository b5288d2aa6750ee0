"""Shoppers' pages are light, so that they are there at once on a bad connection, and stand still."""

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.files import File
from playwright.sync_api import Page, Response, Route

from conftest import MakeSale
from inventory.models import Sale
from inventory.picture_uploads import Reencoded, reencode
from inventory.products import Product
from tests import stack
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import address, buy_button

pytestmark = pytest.mark.browser

DEMO = stack.ROOT / "ops" / "demo"
PHONE = {"viewport": {"width": 360, "height": 740}}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
OTHERS = {"jacket": 10, "record": 10, "bag": 10}
TEN_OPTIONS = {f"shoe-{size}": 10 for size in range(36, 46)}


def dressed(sale: Sale) -> Sale:
    """Gives the products the demo's texts and first pictures."""
    demo = tomllib.loads((DEMO / "sales.toml").read_text())["sales"]
    planned = {product["name"]: product for shown in demo for product in shown["products"]}
    products = Product.objects.filter(variants__sales=sale).distinct().order_by("pk")
    for product, like in zip(products, planned.values(), strict=False):
        product.name, product.description = like["name"], like["description"]
        product.save()
        picture = like["pictures"][0]
        product.pictures.create(file=Reencoded(encoded(picture["file"])), text=picture["text"])
    return sale


@cache
def encoded(file: str) -> bytes:
    """A process is started for each picture."""
    with (DEMO / file).open("rb") as opened:
        return reencode(File(opened)).packed


# --- Weight ---------------------------------------------------------------------------------------


@dataclass
class Traffic:
    """What a page loads: its kind and its bytes as they travel, headers included."""

    kinds: dict[str, str] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def listen_to(self, page: Page) -> None:
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._finished)

    def _answered(self, event: dict[str, Any]) -> None:
        self.kinds[event["requestId"]] = event["type"]

    def _finished(self, event: dict[str, Any]) -> None:
        self.weights[event["requestId"]] = event["encodedDataLength"]

    def weight(self, *kinds: str) -> float:
        return sum(size for request, size in self.weights.items() if self.kinds[request] in kinds)


def test_a_first_visit_weighs_less_than_a_picture(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = dressed(make_sale(stock={"shoe-42": 10, "shoe-43": 10}, limit=2))
    page, traffic = open_page("about:blank"), Traffic()
    traffic.listen_to(page)
    page.goto(address(web.url, sale), wait_until="networkidle")
    pictures = traffic.weight("Image")
    rest = sum(traffic.weights.values()) - pictures
    kinds = {kind: round(traffic.weight(kind)) for kind in set(traffic.kinds.values())}
    print(f"\na first visit: {rest / 1000:.1f} kB, pictures {pictures / 1000:.1f} kB: {kinds}")
    assert traffic.weight("Document") > 0
    assert rest < 60_000


def test_a_page_of_many_products_and_options_is_small(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = dressed(make_sale(stock={**TEN_OPTIONS, **OTHERS}, limit=2))
    page = open_page("about:blank")
    body = loaded(page, address(web.url, sale)).body()
    assert page.get_by_role("radio").count() == len(TEN_OPTIONS)
    print(f"\n4 products, 10 options of one: {len(body) / 1000:.1f} kB")
    assert len(body) < 16_000  # with the numbers of hundreds of sales before it


def test_styles_and_scripts_are_loaded_once(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page("about:blank")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address(web.url, make_sale()))
    static = [answer for answer in answers if "/static/" in answer.url]
    assert {urlsplit(answer.url).path.rpartition(".")[2] for answer in static} >= {"css", "js"}
    for answer in static:
        assert "immutable" in answer.headers["cache-control"]
        assert (
            not {"content-security-policy", "x-frame-options", "set-cookie"} & answer.headers.keys()
        )
    page.goto(web.url)
    assert page.evaluate(TRANSFERRED) == []


# A copy that the browser has kept has travelled in no bytes.
TRANSFERRED = """performance.getEntriesByType("resource")
  .filter(({ name, transferSize }) => name.includes("/static/") && transferSize > 0)
  .map(({ name }) => name)"""


def loaded(page: Page, url: str) -> Response:
    answer = page.goto(url)
    assert answer is not None
    return answer


# --- Nothing from elsewhere, nothing inline -------------------------------------------------------


@dataclass
class Tour:
    """What was seen on the way through the shop."""

    html: list[str] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def take_tour(url: str, page: Page, sale: Sale) -> Tour:
    """The list, a sale, an order, the shopper's orders, and two pages of nothing."""
    tour = Tour()
    page.on("request", lambda request: tour.asked.append(request.url))
    page.goto(address(url, sale))
    buy_button(page).click()
    order = page.locator(".to-order").get_attribute("href") or ""
    for path in ("/", f"/sales/{sale.slug}/", order, "/orders/", "/nowhere/", "/sales/nowhere/"):
        answer = loaded(page, url + path)
        tour.html.append(answer.text())
        tour.policies.append(answer.headers["content-security-policy"])
    return tour


INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:", re.I)


def test_nothing_comes_from_another_host_or_is_inline_or_could_be(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> None:
    complaints.expect("status of 404")
    tour = take_tour(web.url, open_page("about:blank"), dressed(make_sale()))
    assert any("/media/" in url for url in tour.asked)
    assert {urlsplit(url).netloc for url in tour.asked} == {urlsplit(web.url).netloc}
    for html, policy in zip(tour.html, tour.policies, strict=True):
        assert INLINE.findall(html) == []
        assert "script-src" in policy
        assert "unsafe" not in policy


# --- Standing still -------------------------------------------------------------------------------

NOTE_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries()))
  .observe({ type: "layout-shift", buffered: true });
"""
SHIFTS = """shifts.map(({ value, sources }) =>
  [value, sources.map(({ node }) => node?.cloneNode().outerHTML)])"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"
PICTURES_SHOWN = """[...document.querySelectorAll("main img")].every((picture) =>
  picture.complete || picture.getBoundingClientRect().top > innerHeight)"""


@dataclass
class Held:
    """Scripts and pictures that a slow line has not brought yet."""

    routes: list[Route] = field(default_factory=list)
    released: bool = False

    def hold(self, route: Route) -> None:
        route.continue_() if self.released else self.routes.append(route)

    def release(self) -> None:
        self.released = True
        for route in self.routes:
            route.continue_()


@pytest.mark.parametrize(
    ("opens_in", "late"),
    [
        pytest.param(600, "js", id="upcoming-scripts"),
        pytest.param(-60, "webp", id="open-pictures"),
        pytest.param(600, "webp", id="upcoming-pictures", marks=pytest.mark.deep),
        pytest.param(-60, "js", id="open-scripts", marks=pytest.mark.deep),
    ],
)
def test_nothing_moves_when_pictures_and_scripts_come_late(
    opens_in: int, late: str, web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = dressed(make_sale(stock={"shoe": 10, "bag": 10}, opens_in=opens_in))
    page, held = open_page("about:blank", **PHONE), Held()
    page.add_init_script(NOTE_SHIFTS)
    page.route(f"**/*.{late}", held.hold)
    page.goto(address(web.url, sale), wait_until="commit")
    stack.wait_for(lambda: page.evaluate(PAINTED), "the first paint")
    held.release()
    page.wait_for_load_state("load")
    stack.wait_for(lambda: page.evaluate(PICTURES_SHOWN), "the pictures")
    page.evaluate(TWO_FRAMES)
    shifts = page.evaluate(SHIFTS)
    assert sum(value for value, _ in shifts) < 0.01, shifts


# --- Pictures -------------------------------------------------------------------------------------


def test_a_phone_loads_a_smaller_picture_than_a_desktop(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    sale = dressed(make_sale())
    shown = {}
    for name, screen in (("phone", PHONE), ("desktop", DESKTOP)):
        page = open_page(address(web.url, sale), **screen)
        shown[name] = page.locator(".product img").evaluate("picture => picture.currentSrc")
    assert shown["phone"].endswith("-480.webp")
    assert shown["desktop"].endswith("-800.webp")


BELOW_THE_FOLD = """[...document.querySelectorAll(".product img")]
  .filter((picture) => picture.getBoundingClientRect().top > innerHeight)
  .map((picture) => picture.loading)"""


def test_pictures_below_the_fold_wait_until_they_are_looked_at(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale
) -> None:
    page = open_page(address(web.url, dressed(make_sale(stock={"shoe": 10, **OTHERS}))), **PHONE)
    below = page.evaluate(BELOW_THE_FOLD)
    assert below == ["lazy"] * 3
