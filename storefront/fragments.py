"""What shoppers are shown of a purchase: the page, the form of a product, and the outcome.

Each is rendered once per state and language and kept; the shopper's own parts are filled in.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from inventory.click_answers import ClickAnswer
from inventory.gate.entries import Answer
from orders import tickets
from orders.reference import reference
from storefront import rendered as kept
from storefront.catalogue import ProductCard, SaleCard
from storefront.live_sale import LiveSale
from storefront.rendered import Rendered, placeholder

# The codes that a redirect may put into a page's URL; anything else there is ignored.
NOTICES = frozenset(
    answer.code for answer in ClickAnswer if answer.gate_codes and 400 <= answer.status < 500
)

Purchase = tuple[UUID, Answer]

_PAGE_KEPT = 250  # ms for which a page may show an older stock: its socket brings the newest
_DRAWER = 4096  # rendered states of one sale


@dataclass(frozen=True, slots=True)
class Choice:
    """One form: the product that it sells, or the options of which one is chosen; and its ticket."""

    products: tuple[ProductCard, ...]
    ticket: str
    purchase: str
    own: str = ""  # what became of the shopper's earlier purchases
    chosen: str = ""  # the sku of an option that is chosen already

    @property
    def first(self) -> ProductCard:
        return self.products[0]

    @property
    def pictured(self) -> ProductCard | None:
        """The first of its products that has a picture."""
        return next((product for product in self.products if product.picture), None)

    @property
    def key(self) -> str:
        """What tells the form's elements from those of the page's others."""
        return self.first.sku

    @property
    def several(self) -> bool:
        return len(self.products) > 1

    @property
    def prices_differ(self) -> bool:
        return len({product.price for product in self.products}) > 1

    @property
    def cheapest(self) -> int:
        return min(product.price for product in self.products)


class SalePage(NamedTuple):
    """A rendered page, and what it shows."""

    body: Rendered
    revision: int
    phase: str
    products: tuple[ProductCard, ...]
    rendered_at: int

    def shows(self, live: LiveSale) -> bool:
        if self.phase != live.phase or self.products != live.card.products:
            return False
        return self.revision == live.revision or live.now - self.rendered_at < _PAGE_KEPT


_pages: WeakKeyDictionary[LiveSale, dict[str, SalePage]] = WeakKeyDictionary()


def sale_page(
    live: LiveSale, language: str, shopper: UUID, code: str, own: Sequence[Purchase] | None
) -> bytes:
    """The page of a sale, with a fresh ticket in each form, and the shopper's own purchases: None where
    they could not be asked for."""
    values = {
        "now": str(live.now),
        "notice": notice(code, language) if code in NOTICES else "",
        "own-known": "no" if own is None else "yes",
    }
    for number, products in enumerate(live.card.choices):
        purchase = tickets.new_purchase(live.card.id)
        values[f"purchase-{number}"] = str(purchase)
        values[f"ticket-{number}"] = tickets.ticket_for(purchase, shopper)
        skus = {product.sku for product in products}
        bought = [(mine, answer) for mine, answer in own or () if answer.sku in skus]
        values[f"own-{number}"] = own_purchases(live, language, bought).decode()
    return _kept_page(live, language).fill(values)


def own_purchases(
    live: LiveSale, language: str, own: Sequence[Purchase], swap: bool = False
) -> bytes:
    """What became of these purchases; to be swapped in where they stand, or where they are new."""
    return b"".join(
        outcome(live, language, mine, answer, own=True, swap=swap) for mine, answer in own
    )


def _kept_page(live: LiveSale, language: str) -> Rendered:
    pages = _pages.setdefault(live, {})
    page = pages.get(language)
    if page is None or not page.shows(live):
        body = kept.render("storefront/sale.html", language, _page_context(live))
        page = SalePage(body, live.revision, live.phase, live.card.products, live.now)
        pages[language] = page
    return page.body


def _page_context(live: LiveSale) -> dict[str, object]:
    choices = [
        Choice(
            products,
            placeholder(f"ticket-{number}"),
            placeholder(f"purchase-{number}"),
            placeholder(f"own-{number}"),
        )
        for number, products in enumerate(live.card.choices)
    ]
    return {
        "live": live,
        "choices": choices,
        "now": placeholder("now"),
        "notice": placeholder("notice"),
        "own_known": placeholder("own-known"),
    }


@lru_cache(maxsize=256)
def notice(code: str, language: str) -> str:
    return kept.render("storefront/_notice.html", language, {"code": code}).fill({}).decode()


def outcome(
    live: LiveSale,
    language: str,
    purchase: UUID,
    answer: Answer,
    ticket: str = "",
    own: bool = False,
    swap: bool = False,
) -> bytes:
    """The box that says what became of a click. Where the purchase waits, it holds the form with its
    ticket, to be sent again should Redis have lost it."""
    values = {"purchase": str(purchase), "ticket": ticket}
    context = {
        "answer": answer._replace(shopper=""),
        "purchase": placeholder("purchase"),
        "ticket": placeholder("ticket") if ticket else "",
        "own": own,
        "swap": swap,
    }
    return _rendered_once(live, "storefront/_outcome.html", language, context).fill(values)


_drawers: WeakKeyDictionary[LiveSale, tuple[SaleCard, dict[Hashable, Rendered]]] = (
    WeakKeyDictionary()
)


def _rendered_once(
    live: LiveSale, template: str, language: str, context: Mapping[str, Any]
) -> Rendered:
    """A fragment about one answer (`context["answer"]`), kept for as long as the sale's card says the
    same."""
    card, drawer = _drawers.get(live, (None, {}))
    if card is not live.card or len(drawer) >= _DRAWER:
        drawer = {}
        _drawers[live] = live.card, drawer
    key = (template, language, *context.values())
    if key not in drawer:
        product = live.card.product(context["answer"].sku)
        drawer[key] = kept.render(template, language, {**context, "live": live, "product": product})
    return drawer[key]


def fresh_form(
    live: LiveSale, language: str, product: ProductCard, shopper: UUID, before: str
) -> bytes:
    """The form that sells a product, with a fresh ticket, below the outcome or notice that made it
    necessary. The page puts it in the place of the form that asked."""
    purchase = tickets.new_purchase(live.card.id)
    products = next(choice for choice in live.card.choices if product in choice)
    choice = Choice(products, placeholder("ticket"), placeholder("purchase"), chosen=product.sku)
    context: Mapping[str, object] = {
        "live": live,
        "choice": choice,
        "before": placeholder("before"),
    }
    rendered = kept.render("storefront/_buy.html", language, context)
    ticket = tickets.ticket_for(purchase, shopper)
    return rendered.fill({"purchase": str(purchase), "ticket": ticket, "before": before})


def order_page(
    live: LiveSale,
    language: str,
    purchase: UUID,
    answer: Answer,
    unit_price: int,
    currency: str,
    accepted_at: datetime | None = None,
) -> bytes:
    """The outcome as a page. `unit_price` is in minor units of `currency`."""
    context = {
        "answer": answer._replace(shopper=""),
        "unit_price": unit_price,
        "total": unit_price * answer.quantity,
        "currency": currency,
        "purchase": placeholder("purchase"),
        "reference": placeholder("reference"),
        "accepted": placeholder("accepted") if accepted_at else "",
        "ticket": "",
    }
    values = {"purchase": str(purchase), "reference": reference(purchase)}
    if accepted_at:
        second = accepted_at.replace(microsecond=0)
        values["accepted"] = _moment(second, live.card.time_zone, language)
    return _rendered_once(live, "storefront/order.html", language, context).fill(values)


@lru_cache(maxsize=4096)
def _moment(second: datetime, time_zone: str, language: str) -> str:
    """Kept by the second: a rush is accepted in a few."""
    context = {"moment": second, "time_zone": time_zone}
    return kept.render("storefront/_moment.html", language, context).fill({}).decode()


@lru_cache(maxsize=256)
def _kept_message(code: str, language: str, status: int) -> Rendered:
    return kept.render("storefront/message.html", language, {"code": code, "status": status})


def message_page(code: str, language: str, status: int) -> bytes:
    """A page that only says what is the matter."""
    return _kept_message(code, language, status).fill({})


def retry_page(
    live: LiveSale, language: str, ticket: str, sku: str, quantity: int, code: str
) -> bytes:
    """The page of a plain form whose answer is not known: it holds the same form with the same ticket."""
    context = {
        "live": live,
        "code": code,
        "product": live.card.product(sku),
        "sku": sku,
        "ticket": ticket,
        "quantity": quantity,
    }
    return kept.render("storefront/retry.html", language, context).fill({})


# Makes htmx put a notice into the box of the outcome, not in its place: the next click needs it.
INSIDE = (b"hx-reswap", b"innerHTML")
