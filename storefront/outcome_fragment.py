"""The outcome's fragment: one renderer and one cache for the page, for htmx and for sockets."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from inventory.gate.entries import Answer
from storefront.bought import Bought
from storefront.catalogue import SaleCard
from storefront.rendered import Rendered, placeholder, render

_MOST_KEPT = 4096  # rendered fragments of one card


def render_outcome(
    card: SaleCard,
    language: str,
    purchase: UUID,
    answer: Answer,
    *,
    ticket: str = "",
    bought: Bought | None = None,
    own: bool = False,
    swap: bool = False,
) -> bytes:
    """Render the box that shows the answer to a click.

    `ticket` adds the click's form, for a queued purchase: the page sends it again if Redis lost the
    entry. `bought` is what the order says; without it the card's variant is named. `own` is for the
    list of earlier purchases, `swap` for a fragment that replaces the box of the same purchase
    wherever it is on the page.
    """
    context = {
        "answer": answer._replace(shopper=""),
        "bought": bought or Bought.on_card(card, answer.sku),
        "purchase": placeholder("purchase"),
        "ticket": placeholder("ticket") if ticket else "",
        "own": own,
        "swap": swap,
    }
    rendered = render_once(card, "storefront/_outcome.html", language, context)
    return rendered.fill({"purchase": str(purchase), "ticket": ticket})


def render_once(
    card: SaleCard, template: str, language: str, context: Mapping[str, Any]
) -> Rendered:
    """Render a template about `context["answer"]`, or take it from the card's cache.

    The values of `context` must be hashable and must not name a shopper. The template also gets the
    card and the answer's variant.
    """
    cache = card.fragments
    key = (template, language, *context.values())
    if key not in cache:
        if len(cache) >= _MOST_KEPT:
            cache.clear()
        variant = card.variant(context["answer"].sku)
        cache[key] = render(template, language, {**context, "card": card, "variant": variant})
    return cache[key]
