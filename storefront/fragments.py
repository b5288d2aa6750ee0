"""What shoppers see: pages, forms and notices, rendered.

A template is rendered once per state and language and cached; a shopper's own parts are filled in.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from inventory.click_answers import ClickAnswer
from inventory.gate.entries import Answer
from orders import holds, tickets
from orders.reference import reference
from storefront.bought import Bought
from storefront.catalogue import VariantCard
from storefront.choice import Choice
from storefront.kept_pages import render_kept
from storefront.live_sale import LiveSale
from storefront.outcome_fragment import moment_in_words, render_once, render_outcome
from storefront.parcels import Shipped, render_parcel
from storefront.rendered import Rendered, placeholder, render
from storefront.story import Story, render_story

# The codes that a redirect may put into a page's URL; anything else there is ignored.
NOTICES = frozenset(
    answer.code
    for answer in ClickAnswer
    if (answer.gate_codes and 400 <= answer.status < 500)
    or answer in (ClickAnswer.COOKIES, ClickAnswer.SIGN_IN, ClickAnswer.NO_CODE)
)


class Purchase(NamedTuple):
    """A purchase of the shopper's. `before`: how many wait before it in a queue, if that is known."""

    purchase: UUID
    answer: Answer
    bought: Bought | None
    before: int | None = None


# Seconds between two reloads of an order's page without scripts, while it is held or waits.
_SOONEST, _LATEST = 15, 60


# --- The sale's page ------------------------------------------------------------------------------


def render_sale_page(
    live: LiveSale,
    language: str,
    shopper: UUID,
    code: str,
    own: Sequence[Purchase] | None,
    entry: str = "",
) -> bytes:
    """Render the page with a fresh ticket in each form.

    `code` is the notice to show, if it is one of NOTICES. `entry` says who may buy. `own` are the
    shopper's purchases, newest first; None if unknown now.
    """
    values = {
        "now": str(live.now),
        "notice": render_notice(code, language) if code in NOTICES else "",
        "own-known": "no" if own is None else "yes",
        "entry": entry,
    }
    for number, variants in enumerate(live.card.choices):
        skus = {variant.sku for variant in variants}
        these = [mine for mine in own or () if mine.answer.sku in skus]
        values[f"own-{number}"] = render_own_purchases(live, language, these).decode()
    values |= _fresh_tickets(live, shopper)
    return render_kept(live, language, "storefront/sale.html", _page_context).fill(values)


def render_products(live: LiveSale, language: str, shopper: UUID) -> bytes:
    """Render all products with fresh forms, to replace those on a page that shows what they were."""
    body = render_kept(live, language, "storefront/_products.html", _page_context)
    return body.fill(_fresh_tickets(live, shopper))


def _fresh_tickets(live: LiveSale, shopper: UUID) -> dict[str, str]:
    """The placeholders of each form's ticket, bound to what the form shows."""
    values = {}
    for number, (first, *_) in enumerate(live.card.choices):
        purchase = tickets.new_purchase(live.card.id)
        shown = live.card.shown.form_of(first.sku)
        values[f"purchase-{number}"] = str(purchase)
        values[f"ticket-{number}"] = tickets.ticket_for(purchase, shopper, shown)
    return values


def render_own_purchases(
    live: LiveSale, language: str, own: Sequence[Purchase], swap: bool = False
) -> bytes:
    """Render the outcomes of the shopper's purchases; with `swap`, to replace those on the page."""
    return b"".join(
        render_outcome(
            live.card,
            language,
            mine.purchase,
            mine.answer,
            bought=mine.bought,
            own=True,
            swap=swap,
            stage=live.stage,
            before=mine.before,
        )
        for mine in own
    )


def _page_context(live: LiveSale) -> dict[str, object]:
    choices = [
        Choice(
            variants,
            placeholder(f"ticket-{number}"),
            placeholder(f"purchase-{number}"),
            live.card.shown.form_of(variants[0].sku).hex(),
            placeholder(f"own-{number}"),
        )
        for number, variants in enumerate(live.card.choices)
    ]
    return {
        "live": live,
        "choices": choices,
        "single": len(choices) == 1,
        "galleries": any(len(choice.product.pictures) > 1 for choice in choices),
        "now": placeholder("now"),
        "notice": placeholder("notice"),
        "own_known": placeholder("own-known"),
        "entry": placeholder("entry") if live.card.entrants else "",
    }


# --- Answers to a click ---------------------------------------------------------------------------


@lru_cache(maxsize=256)
def render_notice(code: str, language: str) -> str:
    """Render the text of a code."""
    return render("storefront/_notice.html", language, {"code": code}).fill({}).decode()


@lru_cache(maxsize=256)
def render_reason(code: str, language: str) -> str:
    """Render the text of a code as plain text."""
    return (
        render("storefront/_message_text.html", language, {"code": code}).fill({}).decode().strip()
    )


def render_fresh_form(
    live: LiveSale,
    language: str,
    variant: VariantCard,
    shopper: UUID,
    *,
    before: str = "",
    refusal: Answer | None = None,
) -> bytes:
    """Render the form of a variant with a fresh ticket, below `before`: the outcome or notice for
    which the page replaces its old form. A `refusal` is shown below it, as all are. What the ticket is
    bound to comes along: name, price, picture."""
    purchase = tickets.new_purchase(live.card.id)
    shown = live.card.shown.form_of(variant.sku)
    ticket = tickets.ticket_for(purchase, shopper, shown)
    values = {"purchase": str(purchase), "ticket": ticket, "before": before}
    if refusal:
        values["outcome"] = render_outcome(live.card, language, purchase, refusal).decode()
    which = (variant.sku, *(name for name in ("before", "outcome") if values.get(name)))
    body = render_kept(live, language, "storefront/_fresh_form.html", _form_context, *which)
    return body.fill(values)


def _form_context(live: LiveSale, sku: str, *shown: str) -> dict[str, object]:
    variants = next(c for c in live.card.choices if any(variant.sku == sku for variant in c))
    choice = Choice(
        variants,
        placeholder("ticket"),
        placeholder("purchase"),
        live.card.shown.form_of(sku).hex(),
        chosen=sku,
        outcome=placeholder("outcome") if "outcome" in shown else "",
    )
    return {
        "live": live,
        "choice": choice,
        "single": len(live.card.choices) == 1,
        "before": placeholder("before") if "before" in shown else "",
    }


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
    bought: Bought | None,
    accepted_at: datetime | None = None,
    parcel: Shipped | None = None,
    story: Story | None = None,
) -> bytes:
    """Render the outcome as a page of its own."""
    context = {
        "answer": answer._replace(shopper="", hold_until=0, place=1 if answer.place else 0),
        "bought": bought,
        "total": bought.unit_price * answer.quantity if bought else 0,
        "purchase": placeholder("purchase"),
        "reference": placeholder("reference"),
        "accepted": placeholder("accepted") if accepted_at else "",
        "outcome": placeholder("outcome"),
        "parcel": placeholder("parcel") if parcel else "",
        "story": placeholder("story") if story else "",
        "now": placeholder("now"),
        "reload_after": placeholder("reload-after"),
    }
    values = {
        "purchase": str(purchase),
        "reload-after": str(_reload_after(live, answer)),
        "story": render_story(story, live, answer, language),
        "parcel": render_parcel(parcel, live.card.time_zone, language),
        "now": str(live.now),
        "reference": reference(purchase),
        "accepted": _accepted_in_words(accepted_at, live.card.time_zone, language),
        "outcome": render_outcome(
            live.card,
            language,
            purchase,
            answer,
            bought=bought,
            stage=live.stage,
            before=story.before if story else None,
        ).decode(),
    }
    return render_once(live.card, "storefront/order.html", language, context).fill(values)


def _reload_after(live: LiveSale, answer: Answer) -> int:
    """In how many seconds an order's page without scripts reloads. Of a hold: when it has ended, or
    earlier, because it may be confirmed or cancelled before."""
    if answer.status == "queued":
        return 2
    if answer.status == "waiting":
        return _SOONEST if live.stage == "drawing" else _LATEST
    left = (answer.hold_until - live.now) // 1000
    return min(max(left + holds.GRACE + 1, _SOONEST), _LATEST)


def _accepted_in_words(accepted_at: datetime | None, time_zone: str, language: str) -> str:
    if accepted_at is None:
        return ""
    return moment_in_words(accepted_at.replace(microsecond=0), time_zone, language)
