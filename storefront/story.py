"""The story of an entry of a draw, or of an order in a queue: in one place, on the order's page and
for programs. No click waits for it."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from inventory.gate.entries import Answer
from orders import standby
from orders.models import AuditEntry, Draw, Order
from storefront.draw_state import DrawCard, chance
from storefront.live_sale import LiveSale
from storefront.rendered import render
from storefront.unhurried import Unhurried


class Story(NamedTuple):
    """An order that waited. `rank` is None if it was in no draw, or has no rank yet; `before` is None
    unless it waits in a queue: how many do before it, at most `standby.MOST_COUNTED`."""

    accepted_at: datetime
    entered: bool  # it is in the draw's list, or will be
    rank: int | None
    set_aside: bool
    why_aside: str
    before: int | None
    lottery: DrawCard | None


async def find_story(live: LiveSale, purchase: UUID, answer: Answer) -> Story | None:
    """The story of the order; None if it has none, or if it cannot be read now."""
    if not (live.draw.draw_at or live.draw.standby) or answer.status == "queued":
        return None
    return await _stories.ask(purchase)


def _read(purchase: UUID) -> Story | None:
    order = Order.objects.select_related("lot").filter(pk=purchase).first()
    if order is None:
        return None
    lot = getattr(order, "lot", None)
    waits = order.status == Order.Status.WAITING
    if lot is None and not waits and order.place is None and not _was_set_aside(order):
        return None  # sold, or rejected, on arrival
    # Not from the sale's card, which may be a second old.
    draw = Draw.objects.filter(pk=order.sale_id).first() if lot else None
    return Story(
        accepted_at=order.accepted_at,
        entered=lot is not None or order.place is None,
        rank=lot.rank if lot else None,
        set_aside=_was_set_aside(order),
        why_aside=_why_aside(order),
        before=standby.count_before(order) if waits and order.place is not None else None,
        lottery=DrawCard.of(draw) if draw else None,
    )


def _was_set_aside(order: Order) -> bool:
    return order.reason == Order.Reason.SET_ASIDE


def _why_aside(order: Order) -> str:
    if not _was_set_aside(order):
        return ""
    audited = AuditEntry.objects.filter(
        sale=order.sale_id, order=order.pk, action=AuditEntry.Action.ASIDE
    )
    return audited.values_list("reason", flat=True).first() or ""


_stories = Unhurried(_read, "orders are shown without what has happened to them")


def render_story(story: Story | None, live: LiveSale, answer: Answer, language: str) -> str:
    """The part of the order's page that tells it; "" without one."""
    if story is None:
        return ""
    lottery = story.lottery
    units = dict(lottery.stock).get(answer.sku, 0) if lottery else 0
    context = {
        "story": story,
        "live": live,
        "card": live.card,
        "lottery": lottery,
        "answer": answer,
        "most": standby.MOST_COUNTED,
        "units": units,
        "drawn": _was_drawn(story, live, answer, units),
        "chance": _chance(live, lottery),
    }
    return render("storefront/_story.html", language, context).fill({}).decode()


def _was_drawn(story: Story, live: LiveSale, answer: Answer, units: int) -> bool:
    """Whether the order surely got its units by the draw. With standby it may have got what came back,
    unless there was enough for all ranks up to its own."""
    if story.rank is None or answer.status in ("waiting", "rejected"):
        return False
    return not live.draw.standby or story.rank * live.limit <= units


def _chance(live: LiveSale, lottery: DrawCard | None) -> int | None:
    """How many of 100 entries won; None if they could be for several units, or for several variants."""
    alike = live.limit == 1 and len(live.card.variants) == 1
    return chance(lottery.entries, lottery.units) if lottery and alike else None


def as_json(story: Story | None) -> dict[str, object]:
    """For programs: `rank` of an entry that was drawn, `place` of an order in a queue."""
    if story is None:
        return {}
    told: dict[str, object] = {}
    if story.rank is not None:
        told["rank"] = story.rank
    if story.before is not None:
        told["place"] = story.before + 1
    if story.why_aside:
        told["set_aside"] = story.why_aside
    return told
