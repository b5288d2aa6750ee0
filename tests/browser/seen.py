"""What a shopper looks for on a page."""

from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import Locator, Page, Request, expect

from inventory.models import Sale
from orders import sale_lifecycle
from tests import stack

# Without the random pauses after which the pages of a crowd ask.
AT_ONCE = "Math.random = () => 0"


def address(url: str, sale: Sale) -> str:
    return f"{url}/sales/{sale.slug}/"


def buy_button(page: Page) -> Locator:
    return page.locator("form.buy button").first


def answer(page: Page, status: str) -> Locator:
    """The box that says what became of a click."""
    return page.locator(f".outcome[data-status='{status}']:not(.own *)")


def own(page: Page, status: str) -> Locator:
    """The box of a purchase that was made before, or in another tab."""
    return page.locator(f".own .outcome[data-status='{status}']")


def sees_secured(page: Page, timeout: float | None = None) -> None:
    expect(answer(page, "confirmed")).to_contain_text("Secured!", timeout=timeout)


def sees_stock(page: Page, words: str, timeout: float | None = None) -> None:
    expect(page.locator(".stock").first).to_have_text(words, timeout=timeout)


def sees_phase(page: Page, words: str) -> None:
    expect(page.locator("#state .badge")).to_have_text(words)


def questions(page: Page) -> list[str]:
    """Fills up with the addresses that scripts of the page ask for by GET. Its socket is open."""
    is_live(page)
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.resource_type == "xhr" and request.method == "GET":
            asked.append(request.url)

    page.on("request", note)
    return asked


def is_live(page: Page) -> None:
    stack.wait_for(lambda: page.evaluate("asking === undefined"), "its socket is open")


def stop_clock(page: Page) -> None:
    """Nothing happens on the page by itself from now on. Its clock was installed before it was loaded."""
    page.clock.pause_at(page.evaluate("Date.now() / 1000") + 60)


def hears_nothing(page: Page) -> None:
    """Loads the page again with a socket that is open and silent."""
    page.route_web_socket("**/ws/**", lambda socket: None)
    page.reload()


def opens_soon(sale: Sale, seconds: float) -> None:
    """A page that shows the sale learns it by its socket."""
    opens = timezone.now().replace(microsecond=0) + timedelta(seconds=seconds)
    sale_lifecycle.change_window(sale.pk, opens_at=opens, by="staff")
    sale.refresh_from_db()
