"""What a shopper looks for on a page."""

from playwright.sync_api import Locator, Page, Request, expect

from inventory.models import Sale

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
    """Fills up with the addresses that scripts of the page ask for by GET."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.resource_type == "xhr" and request.method == "GET":
            asked.append(request.url)

    page.on("request", note)
    return asked


def hears_nothing(page: Page) -> None:
    """Loads the page again with a socket that is open and silent."""
    page.route_web_socket("**/ws/**", lambda socket: None)
    page.reload()
