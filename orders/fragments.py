"""What shoppers are shown of a purchase: the page, the form of a product, and the outcome.

Each is rendered once per state and language and kept; the shopper's own parts are filled in.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from flashsale import kept
from flashsale.kept import Kept, place
from inventory.catalogue import ProductCard, SaleCard
from inventory.feed import Watch
from inventory.gate import Answer
from orders import tickets

# The codes that a redirect may put into a page's URL; anything else there is ignored.
NOTICES = frozenset(
    {"sold_out", "not_enough", "paused", "not_open", "closed", "limit", "rate_limited"}
    | {"ticket", "ticket_reused", "product", "quantity", "body", "origin"}
)

_PAGE_KEPT = 250  # ms for which a page may show an older stock: its socket brings the newest
_DRAWER = 4096  # rendered states of one sale


@dataclass(frozen=True, slots=True)
class Form:
    """One product's form: what it sells, and the ticket that it carries."""

    product: ProductCard
    left: int
    ticket: str
    purchase: str


class SalePage(NamedTuple):
    """A rendered page, and what it shows."""

    body: Kept
    revision: int
    phase: str
    products: tuple[ProductCard, ...]
    rendered_at: int

    def shows(self, watch: Watch) -> bool:
        if self.phase != watch.phase or self.products != watch.card.products:
            return False
        return self.revision == watch.revision or watch.now - self.rendered_at < _PAGE_KEPT


_pages: WeakKeyDictionary[Watch, dict[str, SalePage]] = WeakKeyDictionary()


def sale_page(watch: Watch, language: str, shopper: UUID, code: str) -> bytes:
    """The page of a sale, with a fresh ticket in each form."""
    values = {"notice": notice(code, language) if code in NOTICES else ""}
    for number in range(len(watch.card.products)):
        purchase = tickets.new_purchase(watch.card.id)
        values[f"purchase-{number}"] = str(purchase)
        values[f"ticket-{number}"] = tickets.ticket_for(purchase, shopper)
    return _kept_page(watch, language).fill(values)


def _kept_page(watch: Watch, language: str) -> Kept:
    pages = _pages.setdefault(watch, {})
    page = pages.get(language)
    if page is None or not page.shows(watch):
        body = kept.render("orders/sale.html", language, _page_context(watch))
        page = SalePage(body, watch.revision, watch.phase, watch.card.products, watch.now)
        pages[language] = page
    return page.body


def _page_context(watch: Watch) -> dict[str, object]:
    forms = [
        Form(product, watch.left(product), place(f"ticket-{number}"), place(f"purchase-{number}"))
        for number, product in enumerate(watch.card.products)
    ]
    return {"watch": watch, "forms": forms, "notice": place("notice")}


@lru_cache(maxsize=256)
def notice(code: str, language: str) -> str:
    return kept.render("orders/_notice.html", language, {"code": code}).fill({}).decode()


def outcome(watch: Watch, language: str, purchase: UUID, answer: Answer, ticket: str = "") -> bytes:
    """The box that says what became of a click. Where the purchase waits, it holds the form with its
    ticket, to be sent again should Redis have lost it."""
    values = {"purchase": str(purchase), "ticket": ticket}
    context = {
        "answer": answer._replace(shopper=""),
        "purchase": place("purchase"),
        "ticket": place("ticket") if ticket else "",
    }
    return _rendered_once(watch, "orders/_outcome.html", language, context).fill(values)


_drawers: WeakKeyDictionary[Watch, tuple[SaleCard, dict[Hashable, Kept]]] = WeakKeyDictionary()


def _rendered_once(watch: Watch, template: str, language: str, context: Mapping[str, Any]) -> Kept:
    """A fragment about one answer (`context["answer"]`), kept for as long as the sale's card says the
    same."""
    card, drawer = _drawers.get(watch, (None, {}))
    if card is not watch.card or len(drawer) >= _DRAWER:
        drawer = {}
        _drawers[watch] = watch.card, drawer
    key = (template, language, *context.values())
    if key not in drawer:
        product = watch.card.product(context["answer"].sku)
        drawer[key] = kept.render(
            template, language, {**context, "watch": watch, "product": product}
        )
    return drawer[key]


def fresh_form(
    watch: Watch, language: str, product: ProductCard, shopper: UUID, before: str
) -> bytes:
    """A product's form with a fresh ticket, below the outcome or notice that made it necessary."""
    purchase = tickets.new_purchase(watch.card.id)
    form = Form(product, watch.left(product), place("ticket"), place("purchase"))
    context: Mapping[str, object] = {"watch": watch, "form": form, "before": place("before")}
    rendered = kept.render("orders/_buy.html", language, context)
    ticket = tickets.ticket_for(purchase, shopper)
    return rendered.fill({"purchase": str(purchase), "ticket": ticket, "before": before})


def order_page(
    watch: Watch, language: str, purchase: UUID, answer: Answer, total: int, currency: str
) -> bytes:
    """The outcome as a page. `total` is in minor units of `currency`."""
    context = {
        "answer": answer._replace(shopper=""),
        "total": total,
        "currency": currency,
        "purchase": place("purchase"),
        "ticket": "",
    }
    page = _rendered_once(watch, "orders/order.html", language, context)
    return page.fill({"purchase": str(purchase)})


@lru_cache(maxsize=256)
def _kept_message(code: str, language: str, status: int) -> Kept:
    return kept.render("orders/message.html", language, {"code": code, "status": status})


def message_page(code: str, language: str, status: int) -> bytes:
    """A page that only says what is the matter."""
    return _kept_message(code, language, status).fill({})


def retry_page(
    watch: Watch, language: str, ticket: str, sku: str, quantity: int, code: str
) -> bytes:
    """The page of a plain form whose answer is not known: it holds the same form with the same ticket."""
    context = {
        "watch": watch,
        "code": code,
        "product": watch.card.product(sku),
        "sku": sku,
        "ticket": ticket,
        "quantity": quantity,
    }
    return kept.render("orders/retry.html", language, context).fill({})


# Makes htmx put a notice into the box of the outcome, not in its place: the next click needs it.
INSIDE = (b"hx-reswap", b"innerHTML")


def replacing_form(sku: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that make htmx put a fragment in the place of a product's whole form."""
    return (
        (b"hx-retarget", f"[id='buy-{sku}']".encode()),
        (b"hx-reswap", b"outerHTML"),
    )
