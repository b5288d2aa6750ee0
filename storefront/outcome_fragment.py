"""The outcome's fragment: one renderer and one cache for the page, for htmx and for sockets."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from inventory.gate.entries import Answer
from orders.standby import MOST_COUNTED
from orders.tickets import ticket_for
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
    stage: str = "",
    before: int | None = None,
) -> bytes:
    """Render the box that shows the answer to a click.

    `ticket` adds the click's form, for a queued purchase: the page sends it again if Redis lost the
    entry. `bought` is what the order says; without it the card's variant is named. `own` is for the
    list of earlier purchases, `swap` for a fragment that replaces the box of the same purchase
    wherever it is on the page. `stage` is the live sale's; `before` of an order in a queue says how many
    wait before it, None if that is not known.
    """
    context: dict[str, object] = {
        "answer": answer._replace(shopper="", hold_until=0, place=1 if answer.place else 0),
        "bought": bought or Bought.on_card(card, answer.sku),
        "purchase": placeholder("purchase"),
        "ticket": placeholder("ticket") if ticket else "",
        "own": own,
        "swap": swap,
    }
    values = {"purchase": str(purchase), "ticket": ticket}
    if answer.status == "held":
        for name in ("until", "until-words", "proof"):
            context[name.replace("-", "_")] = placeholder(name)
        values |= _about_hold(card, language, purchase, answer)
    elif answer.status in ("waiting", "cancelled"):
        context["stage"] = stage
    if answer.status == "waiting":
        context |= {"place": _place(before), "proof": placeholder("proof"), "most": MOST_COUNTED}
        values["place"] = str((before or 0) + 1)
        values["proof"] = ticket_for(purchase, UUID(answer.shopper), card.shown.sale)
    rendered = render_once(card, "storefront/_outcome.html", language, context)
    return rendered.fill(values)


def _place(before: int | None) -> str:
    """What the box says of the place in a queue."""
    if before is None:
        return ""
    return placeholder("place") if before < MOST_COUNTED else "many"


def _about_hold(card: SaleCard, language: str, purchase: UUID, answer: Answer) -> dict[str, str]:
    """The end of a hold, and the ticket with which its shopper gives it back."""
    end = datetime.fromtimestamp(answer.hold_until // 1000, UTC)
    return {
        "until": str(answer.hold_until),
        "until-words": moment_in_words(end, card.time_zone, language),
        "proof": ticket_for(purchase, UUID(answer.shopper), card.shown.sale),
    }


@lru_cache(maxsize=4096)
def moment_in_words(second: datetime, time_zone: str, language: str) -> str:
    """Render a moment. Cached by the second: most purchases of a rush share a few."""
    context = {"moment": second, "time_zone": time_zone}
    return render("storefront/_moment.html", language, context).fill({}).decode()


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
