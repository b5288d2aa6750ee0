"""Takes pictures of every page and writes the document that shows them: `python -m bench.pictures`.

It starts a private shop with the demo's sales, brings them into each state of `bench/page_states.py` and
`bench/checkout_states.py`, and takes pictures with Chromium: phone and desktop, light and dark.
"""

import argparse
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from rich.console import Console
from rich.progress import track

from bench.checkout_states import CHECKOUT_STATES
from bench.chromium import ABSENT, ARGUMENTS, executable
from bench.page_states import DESKTOP, PHONE, SALE_STATES, Shop, State
from drills.private_shop import HOST, ROOT, say, start_shop

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STATES = SALE_STATES + CHECKOUT_STATES

SCREENS: dict[str, dict[str, Any]] = {
    PHONE: {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    DESKTOP: {"viewport": {"width": 1280, "height": 800}},
}
MOST_BYTES = 60_000  # of a picture: the repository holds all of them
PATIENCE = 30_000  # ms; far more than any page takes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="default: docs/")
    parser.add_argument(
        "--only",
        metavar="STATE",
        action="append",
        choices=[state.name for state in STATES],
        help="take no other state's pictures; can be repeated",
    )
    options = parser.parse_args()
    into: Path = options.into
    states = [state for state in STATES if not options.only or state.name in options.only]
    # SIGTERM acts like Ctrl-C, so that the shop ends before this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open_browser() as browser, start_shop() as (folder, port):
        # Playwright's event loop runs in this thread, so Django would refuse queries as asynchronous.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        shop = Shop(f"http://{HOST}:{port}", folder)
        take_pictures(browser, shop, states, into / "img" / "pages")
    (into / "pages.md").write_text(document())


@contextmanager
def open_browser() -> "Iterator[Browser]":
    """Start Chromium. Raises SystemExit if Playwright or a browser is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        missing = "Playwright is missing. It comes with: pip install -r requirements-dev.txt"
        raise SystemExit(missing) from error
    with sync_playwright() as playwright:
        path = executable(playwright)
        if path is None:
            raise SystemExit(ABSENT)
        with playwright.chromium.launch(executable_path=path, args=ARGUMENTS) as browser:
            yield browser


# --- The pictures ---------------------------------------------------------------------------------

# Pictures below the visible part load lazily. A broken picture has no width, so the wait fails.
_DRAWN = """() => [...document.images].every(
    (image) => image.naturalWidth || image.getBoundingClientRect().top > innerHeight)"""


def take_pictures(browser: "Browser", shop: Shop, states: list[State], folder: Path) -> None:
    """Take pictures of `states` into `folder`, and remove those of states that no longer exist."""
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    for state in track(states, "", console=console, disable=not sys.stderr.isatty()):
        with state.prepare(shop):
            for screen, scheme, name in state.pictures():
                taken = take_picture(browser, shop.site, state, screen, scheme)
                (folder / name).write_bytes(encode(taken))
    names = {name for state in STATES for _, _, name in state.pictures()}
    for old in folder.glob("*.webp"):
        if old.name not in names:
            old.unlink()
    size = sum(picture.stat().st_size for picture in folder.glob("*.webp"))
    say(f"{len(names)} pictures, {size / 1000:,.0f} kB, in {folder}")


def take_picture(browser: "Browser", site: str, state: State, screen: str, scheme: Any) -> bytes:
    """Take a picture in a new browser profile, with two pixels per CSS pixel."""
    context = browser.new_context(
        **SCREENS[screen],
        base_url=site,
        color_scheme=scheme,
        device_scale_factor=2,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    state.show(page)
    page.mouse.move(0, 0)
    page.wait_for_function(_DRAWN)
    taken = page.screenshot(animations="disabled", full_page=state.whole)
    context.close()
    return taken


def encode(taken: bytes) -> bytes:
    """Encode as WebP, one pixel per CSS pixel, in the best quality that MOST_BYTES allows."""
    picture = Image.open(io.BytesIO(taken)).convert("RGB").reduce(2)
    for quality in range(80, 0, -5):
        content = io.BytesIO()
        picture.save(content, "WEBP", quality=quality, method=6)
        if content.tell() < MOST_BYTES:
            break
    return content.getvalue()


# --- The document ---------------------------------------------------------------------------------

_HEAD = """# The pages

The states of the pages, on a phone and on a desktop, in light and in dark; a click shows one in full.
`.venv/bin/python -m bench.pictures` takes them of the demo and writes this page.
"""
_TABLE = """
## {title}

| state | phone | desktop |
|---|---|---|
"""
_SHOWN = {PHONE: 110, DESKTOP: 260}  # pixels wide


def document() -> str:
    """Render `docs/pages.md`: one row per state."""
    return (
        _HEAD
        + render_table("A sale", SALE_STATES)
        + render_table("From held to shipped", CHECKOUT_STATES)
    )


def render_table(title: str, states: list[State]) -> str:
    return _TABLE.format(title=title) + "".join(map(render_row, states))


def render_row(state: State) -> str:
    cells = dict.fromkeys(SCREENS, "")
    for screen, scheme, name in state.pictures():
        text = f"{state.name}, {screen}, {scheme}"
        image = f'<img src="img/pages/{name}" alt="{text}" width="{_SHOWN[screen]}">'
        cells[screen] += f"[{image}](img/pages/{name}) "
    return f"| **{state.name}**<br>{state.caption} | {cells[PHONE]}| {cells[DESKTOP]}|\n"


if __name__ == "__main__":
    main()
