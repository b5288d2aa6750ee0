"""Shoppers' pages work for those who do not see well, use no mouse, or cannot bear motion."""

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle, product
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import (  # type: ignore[import-untyped]  # it has no types
    Axe,
)
from playwright.sync_api import Locator, Page, ViewportSize, expect

from conftest import MakeSale
from orders.settlement import settle
from tests import stack
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.seen import answer, sees_secured, sees_stock
from tests.browser.states import SIZES, STATES, Stage
from tests.browser.walks import WALKS
from tests.cast import queue_up

pytestmark = pytest.mark.browser

PHONE: ViewportSize = {"width": 360, "height": 740}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}

MakeStage = Callable[..., Stage]
Scheme = Literal["light", "dark"]
Look = tuple[Scheme, ViewportSize]


@pytest.fixture
def make_stage(
    web: stack.Web, open_page: OpenPage, make_sale: MakeSale, complaints: Complaints
) -> MakeStage:
    def make_stage(locale: str = "en-GB") -> Stage:
        return Stage(web.url, open_page, make_sale, complaints, locale)

    return make_stage


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    return make_stage()


# --- axe ------------------------------------------------------------------------------------------

AXE = Axe()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
GERMAN = ["products_with_options", "secured"]
PAGES = [*((state, "en-GB") for state in STATES), *((state, "de-DE") for state in GERMAN)]
LOOKS: list[Look] = list(product(SCHEMES, (PHONE, DESKTOP)))


def shown(page: Page, looks: Iterable[Look]) -> Iterator[Look]:
    """Shows the page in these ways, one after another."""
    for scheme, viewport in looks:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(viewport)
        yield scheme, viewport


def broken_rules(page: Page) -> list[str]:
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    # What still fades in has less contrast than it will have.
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    return [
        f"{rule['id']} ({rule['impact']}): {element['html']}"
        for rule in AXE.run(page, options=options).response["violations"]
        for element in rule["nodes"]
    ]


@pytest.mark.deep
@pytest.mark.parametrize(("state", "locale"), PAGES)
def test_axe_finds_nothing(state: str, locale: str, make_stage: MakeStage) -> None:
    page = STATES[state](make_stage(locale))
    found = [(look, broken_rules(page)) for look in shown(page, LOOKS)]
    assert not any(broken for _, broken in found), found


def test_axe_would_find_something(stage: Stage) -> None:
    page = stage.at("/")
    page.evaluate("document.querySelector('h1').remove()")
    assert any("page-has-heading-one (moderate)" in rule for rule in broken_rules(page))


# --- The keyboard ---------------------------------------------------------------------------------

# The options of one product are one stop: from one to the next lead arrows.
CONTROLS = """
const stop = (options) => options.querySelector(":checked") ?? options.querySelector("input");
const fields = "button:enabled, input:enabled:not([type=hidden]), select:enabled, textarea:enabled";
const controls = [...document.querySelectorAll(`a[href], summary, [tabindex="0"], ${fields}`)]
  .filter((control) => control.checkVisibility() && !control.closest("[inert]"))
  .filter((control) => control.type !== "radio" || control === stop(control.closest(".options")));
"""
SHOWS_FOCUS = """() => {
  const focused = document.activeElement;
  reached.push(focused);
  const outlined = [focused, focused.closest("label"), focused.closest(".card")]
    .some((box) => box && getComputedStyle(box).outlineStyle !== "none");
  return outlined ? null : focused.outerHTML;
}"""


# Tab goes on from where the focus was lost.
LOSE_FOCUS = """() => {
  const start = document.createElement("span");
  start.tabIndex = -1;
  document.body.prepend(start);
  start.focus();
  start.remove();
  window.reached = [];
}"""


def missed_by_tab(page: Page) -> list[str]:
    """Controls that Tab does not reach, or that do not show that they have the focus."""
    page.evaluate(LOSE_FOCUS)
    unseen = []
    for _ in range(page.evaluate(f"() => {{ {CONTROLS} return controls.length }}")):
        page.keyboard.press("Tab")
        unseen.append(page.evaluate(SHOWS_FOCUS))
    missed = "controls.filter((control) => !reached.includes(control)).map((one) => one.outerHTML)"
    unreached: list[str] = page.evaluate(f"() => {{ {CONTROLS} return {missed} }}")
    return unreached + [control for control in unseen if control]


def tab_to(page: Page, control: Locator) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if control.evaluate("control => control === document.activeElement"):
            return
    pytest.fail(f"Tab does not lead to {control}")


def test_an_option_and_a_quantity_are_chosen_and_bought_with_the_keyboard(stage: Stage) -> None:
    sale = stage.make_sale(stock=SIZES, limit=3)
    page = stage.visit(sale)
    tab_to(page, page.get_by_role("radio").first)
    page.keyboard.press("ArrowDown")
    tab_to(page, page.get_by_label("Quantity"))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(answer(page, "queued")).to_contain_text("Shoe shoe-43")


# --- Thumbs ---------------------------------------------------------------------------------------

# What is pressed is the label of an option and the whole card of a sale. Links in a sentence are excepted
# (WCAG 2.2, 2.5.8).
TOO_SMALL = """() => {
  const isWords = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
  const inSentence = (link) => link.matches("a") && [...link.parentElement.childNodes].some(isWords);
  const least = (control) => (control.matches("button, .button, label") ? 44 : 24);
  return [...document.querySelectorAll("a[href], button, input:not([type=hidden])")]
    .map((control) => control.closest(".options label, .card") ?? control)
    .filter((control) => control.checkVisibility() && !inSentence(control))
    .map((control) => [control, control.getBoundingClientRect()])
    .filter(([control, { width, height }]) => Math.round(Math.min(width, height)) < least(control))
    .map(([control, { width, height }]) => `${width} x ${height}: ${control.outerHTML}`);
}"""


def too_small(page: Page) -> list[str]:
    page.set_viewport_size(PHONE)
    small: list[str] = page.evaluate(TOO_SMALL)
    return small


# --- All of it, on the way ------------------------------------------------------------------------


def barriers(page: Page, locale: str) -> dict[str, list[str]]:
    found = {"axe": broken_rules(page), "tab": missed_by_tab(page), "thumb": too_small(page)}
    if page.locator("html").get_attribute("lang") != locale[:2]:
        found["language"] = ["of the page is another"]
    if page.locator("h1").count() != 1:
        found["title"] = ["is not one"]
    return {kind: what for kind, what in found.items() if what}


@pytest.mark.parametrize("locale", ["en-GB", pytest.param("de-DE", marks=pytest.mark.deep)])
def test_nothing_stands_in_the_way_through_the_shop(locale: str, make_stage: MakeStage) -> None:
    """One look a page: all looks of each page are deep."""
    looks = cycle(LOOKS)
    for where, page in WALKS[locale](make_stage(locale)):
        [look] = shown(page, [next(looks)])
        assert barriers(page, locale) == {}, (where, look)


# --- Motion ---------------------------------------------------------------------------------------

NOTE_MOTION = """
window.moved = [];
for (const begun of ["animationstart", "transitionrun"]) {
  document.addEventListener(begun, (event) => moved.push(event.animationName ?? event.propertyName));
}
"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_those_who_want_no_motion(motion: str, stage: Stage) -> None:
    sale = stage.make_sale()
    page = stage.at("/")
    page.emulate_media(reduced_motion="reduce" if motion == "reduce" else "no-preference")
    page.add_init_script(NOTE_MOTION)
    page.goto(f"{stage.url}/sales/{sale.slug}/")
    page.get_by_role("button", name="Buy now").click()
    expect(answer(page, "queued")).to_be_visible()
    settle(sale.pk)
    sees_secured(page)
    sees_stock(page, "9 left")
    moved = page.evaluate("moved.length + document.getAnimations().length")
    assert (moved == 0) == (motion == "reduce"), page.evaluate("moved")


# --- Screen readers -------------------------------------------------------------------------------


NOTE_ANNOUNCED = """
window.said = [];
const announcer = document.getElementById("announcer");
new MutationObserver(() => announcer.textContent && said.push(announcer.textContent))
  .observe(announcer, { childList: true });
"""


def test_stock_is_announced_when_it_comes_to_another_level_only(stage: Stage) -> None:
    sale = stage.make_sale(stock=20, limit=15)
    page = stage.visit(sale)
    page.evaluate(NOTE_ANNOUNCED)
    queue_up(sale, 1)
    settle(sale.pk)
    sees_stock(page, "19 left")
    assert page.evaluate("said") == []
    queue_up(sale, 1, quantity=15)
    sees_stock(page, "Only 4 left")
    assert [said.partition(": ")[2] for said in page.evaluate("said")] == ["Only 4 left"]


def test_an_outcome_is_announced(stage: Stage) -> None:
    for state, said in (
        ("secured", "Secured!"),
        ("refused", "more than one"),
        ("rejected", "Not this"),
    ):
        page = STATES[state](stage)
        expect(page.get_by_role("status").filter(has_text=said)).to_be_visible()
