"""What shoppers see: pages, forms and notices, rendered.

A template is rendered once per state and language and cached; a shopper's own parts are filled in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from inventory.click_answers import ClickAnswer
from inventory.gate.entries import Answer
from orders import tickets
from orders.reference import reference
from storefront.catalogue import ProductCard, VariantCard
from storefront.live_sale import LiveSale
from storefront.outcome_fragment import render_once, render_outcome
from storefront.rendered import Rendered, placeholder, render

# The codes that a redirect may put into a page's URL; anything else there is ignored.
NOTICES = frozenset(
    answer.code for answer in ClickAnswer if answer.gate_codes and 400 <= answer.status < 500
)

Purchase = tuple[UUID, Answer]

_PAGE_KEPT = 250  # ms for which a page may show an older stock: its socket brings the newest


@dataclass(frozen=True, slots=True)
class Choice:
    """One form and its ticket: a product with one variant, or with several to choose from."""

    variants: tuple[VariantCard, ...]
    ticket: str
    purchase: str
    own: str = ""  # the shopper's earlier purchases of these variants, rendered
    chosen: str = ""  # the sku of the option that is preselected

    @property
    def first(self) -> VariantCard:
        return self.variants[0]

    @property
    def product(self) -> ProductCard:
        return self.first.product

    @property
    def key(self) -> str:
        """Makes the ids of the form's elements unique on the page."""
        return self.first.sku

    @property
    def several(self) -> bool:
        return len(self.variants) > 1

    @property
    def prices_differ(self) -> bool:
        return len({variant.price for variant in self.variants}) > 1

    @property
    def cheapest(self) -> int:
        return min(variant.price for variant in self.variants)


# --- The sale's page ------------------------------------------------------------------------------


def render_sale_page(
    live: LiveSale, language: str, shopper: UUID, code: str, own: Sequence[Purchase] | None
) -> bytes:
    """Render the page with a fresh ticket in each form.

    `code` is the notice to show, if it is one of NOTICES. `own` are the shopper's purchases, newest
    first; None if unknown now.
    """
    values = {
        "now": str(live.now),
        "notice": render_notice(code, language) if code in NOTICES else "",
        "own-known": "no" if own is None else "yes",
    }
    for number, variants in enumerate(live.card.choices):
        purchase = tickets.new_purchase(live.card.id)
        values[f"purchase-{number}"] = str(purchase)
        values[f"ticket-{number}"] = tickets.ticket_for(purchase, shopper)
        skus = {variant.sku for variant in variants}
        bought = [(mine, answer) for mine, answer in own or () if answer.sku in skus]
        values[f"own-{number}"] = render_own_purchases(live, language, bought).decode()
    return _page_body(live, language).fill(values)


def render_own_purchases(
    live: LiveSale, language: str, own: Sequence[Purchase], swap: bool = False
) -> bytes:
    """Render the outcomes of the shopper's purchases; with `swap`, to replace those on the page."""
    return b"".join(
        render_outcome(live.card, language, mine, answer, own=True, swap=swap)
        for mine, answer in own
    )


class SalePage(NamedTuple):
    """A rendered page, and the state of the sale that it shows."""

    body: Rendered
    revision: int
    phase: str
    variants: tuple[VariantCard, ...]
    rendered_at: int

    def shows(self, live: LiveSale) -> bool:
        if self.phase != live.phase or self.variants != live.card.variants:
            return False
        return self.revision == live.revision or live.now - self.rendered_at < _PAGE_KEPT


_pages: WeakKeyDictionary[LiveSale, dict[str, SalePage]] = WeakKeyDictionary()


def _page_body(live: LiveSale, language: str) -> Rendered:
    pages = _pages.setdefault(live, {})
    page = pages.get(language)
    if page is None or not page.shows(live):
        body = render("storefront/sale.html", language, _page_context(live))
        page = SalePage(body, live.revision, live.phase, live.card.variants, live.now)
        pages[language] = page
    return page.body


def _page_context(live: LiveSale) -> dict[str, object]:
    choices = [
        Choice(
            variants,
            placeholder(f"ticket-{number}"),
            placeholder(f"purchase-{number}"),
            placeholder(f"own-{number}"),
        )
        for number, variants in enumerate(live.card.choices)
    ]
    return {
        "live": live,
        "choices": choices,
        "galleries": any(len(choice.product.pictures) > 1 for choice in choices),
        "now": placeholder("now"),
        "notice": placeholder("notice"),
        "own_known": placeholder("own-known"),
    }


# --- Answers to a click ---------------------------------------------------------------------------


@lru_cache(maxsize=256)
def render_notice(code: str, language: str) -> str:
    """Render the text of a code."""
    return render("storefront/_notice.html", language, {"code": code}).fill({}).decode()


def render_fresh_form(
    live: LiveSale, language: str, variant: VariantCard, shopper: UUID, before: str
) -> bytes:
    """Render the form of a variant with a fresh ticket, below `before`: the outcome or notice for
    which the page replaces its old form."""
    purchase = tickets.new_purchase(live.card.id)
    variants = next(choice for choice in live.card.choices if variant in choice)
    choice = Choice(variants, placeholder("ticket"), placeholder("purchase"), chosen=variant.sku)
    context = {"live": live, "choice": choice, "before": placeholder("before")}
    ticket = tickets.ticket_for(purchase, shopper)
    values = {"purchase": str(purchase), "ticket": ticket, "before": before}
    return render("storefront/_buy.html", language, context).fill(values)


def render_retry_page(
    live: LiveSale, language: str, ticket: str, sku: str, quantity: int, code: str
) -> bytes:
    """Render the answer to a plain form of which the outcome is unknown: the same form with the same
    ticket."""
    context = {
        "live": live,
        "code": code,
        "variant": live.card.variant(sku),
        "sku": sku,
        "ticket": ticket,
        "quantity": quantity,
    }
    return render("storefront/retry.html", language, context).fill({})


def render_message_page(code: str, language: str, status: int) -> bytes:
    """Render a page with the text of a code and nothing else."""
    return _message_page(code, language, status).fill({})


@lru_cache(maxsize=256)
def _message_page(code: str, language: str, status: int) -> Rendered:
    return render("storefront/message.html", language, {"code": code, "status": status})


# --- The order's page -----------------------------------------------------------------------------


def render_order_page(
    live: LiveSale,
    language: str,
    purchase: UUID,
    answer: Answer,
    unit_price: int,
    currency: str,
    accepted_at: datetime | None = None,
) -> bytes:
    """Render the outcome as a page of its own. `unit_price` is in minor units of `currency`."""
    context = {
        "answer": answer._replace(shopper=""),
        "unit_price": unit_price,
        "total": unit_price * answer.quantity,
        "currency": currency,
        "purchase": placeholder("purchase"),
        "reference": placeholder("reference"),
        "accepted": placeholder("accepted") if accepted_at else "",
        "outcome": placeholder("outcome"),
    }
    values = {
        "purchase": str(purchase),
        "reference": reference(purchase),
        "accepted": _accepted_in_words(accepted_at, live.card.time_zone, language),
        "outcome": render_outcome(live.card, language, purchase, answer).decode(),
    }
    return render_once(live.card, "storefront/order.html", language, context).fill(values)


def _accepted_in_words(accepted_at: datetime | None, time_zone: str, language: str) -> str:
    if accepted_at is None:
        return ""
    return _moment_in_words(accepted_at.replace(microsecond=0), time_zone, language)


@lru_cache(maxsize=4096)
def _moment_in_words(second: datetime, time_zone: str, language: str) -> str:
    """Cached by the second: most purchases of a rush share a few."""
    context = {"moment": second, "time_zone": time_zone}
    return render("storefront/_moment.html", language, context).fill({}).decode()
