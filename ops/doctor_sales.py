"""What `manage.py doctor` looks at in the sales: whether each can sell, and is looked after."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.db.models import Count, QuerySet
from django.utils import timezone

from inventory.gate import replica
from inventory.gate.state import WAITS_LONG, Pulse
from inventory.models import Sale
from ops.findings import Finding, Groups, failed, ok, warning
from orders.models import Order

_CATCHES_UP = 2.0  # seconds in which a gate that is behind is told, and a cold one rebuilt
_PAUSE = 0.1
_FINISHED_WITHIN = timedelta(minutes=1)  # after the close: beat asks every ten seconds
_NAMED = 5  # sales in one finding


def scripts() -> Iterator[Finding]:
    if replica.knows_scripts():
        yield ok("scripts", "Redis knows those of the gate.")
    else:
        seen = "Redis does not know those of the gate: it was started or replaced, and all is cold."
        yield failed("scripts", seen, "A worker loads them within a second: is one alive?")


def gates() -> Iterator[Finding]:
    """Each sale that can be bought from stands at PostgreSQL's version, or does so soon."""
    end = time.monotonic() + _CATCHES_UP
    while (wrong := _wrong_gates()) and time.monotonic() < end:
        time.sleep(_PAUSE)
    for slug, seen in wrong.items():
        yield failed(f"sale {slug}", seen, "A worker puts it right within seconds: is one alive?")
    if not wrong:
        yield ok("gates", f"{_undrained().count()} sales have one; all are warm and up to date.")


def lines() -> Iterator[Finding]:
    slugs = dict(_undrained().values_list("pk", "slug"))
    waiting = {slugs[sale]: pulse.waited for sale, pulse in replica.read_pulses(slugs).items()}
    slow = {slug: waited for slug, waited in waiting.items() if waited > WAITS_LONG}
    for slug, waited in slow.items():
        seen = f"The oldest purchase in its line has waited for {waited / 1000:.0f} s."
        advice = "Is a worker alive, and PostgreSQL quick? Its log says what it stumbles over."
        yield failed(f"sale {slug}", seen, advice)
    if not slow:
        yield ok("lines", "No purchase waits for long.")


def poison() -> Iterator[Finding]:
    """Purchases that could not be decided; finished sales are history."""
    errors = Order.objects.filter(reason=Order.Reason.ERROR, sale__finished=False)
    found = dict(errors.values_list("sale__slug").annotate(Count("pk")).order_by("sale__slug"))
    if found:
        told = ", ".join(f"{slug} ({count})" for slug, count in found.items())
        seen = f"Purchases that could not be decided were rejected: {told}."
        yield warning("poison", seen, "See the worker's log for each, and tell the developers.")
    else:
        yield ok("poison", "Every purchase could be decided.")


def unfinished() -> Iterator[Finding]:
    over = [sale for sale in _undrained().order_by("pk") if _is_long_over(sale)]
    if over:
        seen = f"Over, but not finished: {_slugs(over)}. Their products cannot be sold elsewhere."
        yield warning("unfinished sales", seen, "Beat and a worker finish them: are they alive?")
    else:
        yield ok("unfinished sales", "Every sale that is over is finished.")


def drafts() -> Iterator[Finding]:
    """Somebody may wait for a sale that nobody has scheduled."""
    now = timezone.now()
    late = Sale.objects.filter(status=Sale.Status.DRAFT, opens_at__lte=now, closes_at__gt=now)
    if late:
        advice = "`manage.py sale schedule` or `sale open` lets a draft sell; or move its window."
        yield warning("drafts", f"Should be open by now, and are drafts: {_slugs(late)}.", advice)
    else:
        yield ok("drafts", "None should be open by now.")


def paused_before_opening() -> Iterator[Finding]:
    """It looks as if it waited for its opening, and will not open by itself."""
    ahead = _undrained().filter(status=Sale.Status.PAUSED, opens_at__gt=timezone.now())
    if ahead:
        advice = "`manage.py sale resume` lets it open by the clock."
        yield warning("paused", f"Paused before their opening: {_slugs(ahead)}.", advice)
    else:
        yield ok("paused", "No sale is paused before its opening.")


GROUPS: Groups = {
    "sales": (scripts, gates, lines, poison, unfinished, drafts, paused_before_opening)
}


# --- Helpers -----------------------------------------------------------------------------------


def _undrained() -> QuerySet[Sale]:
    return Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)


def _wrong_gates() -> dict[str, str]:
    """What is wrong with the gates of sales, by slug."""
    pulses = replica.read_pulses(_undrained().values_list("pk", flat=True))
    # Read after the gates: PostgreSQL only goes forward, so a gate that is ahead of it really is.
    found = {
        sale.slug: _wrong(sale, pulses[sale.pk]) for sale in _undrained().filter(pk__in=pulses)
    }
    return {slug: seen for slug, seen in found.items() if seen}


def _wrong(sale: Sale, pulse: Pulse) -> str:
    if not pulse.ready or pulse.epoch != sale.epoch:
        return "Its gate is cold: every click is answered with `busy`."
    if pulse.version > sale.version:
        return f"Its gate is ahead of PostgreSQL: at {pulse.version}, not {sale.version}."
    if pulse.version < sale.version:
        return f"Clicks are decided by an older state: its gate is at {pulse.version} of {sale.version}."
    return ""


def _is_long_over(sale: Sale) -> bool:
    now = timezone.now()
    return sale.ended(now) and sale.closes_at < now - _FINISHED_WITHIN


def _slugs(sales: Iterable[Sale]) -> str:
    slugs = [sale.slug for sale in sales]
    more = f" and {len(slugs) - _NAMED} more" if len(slugs) > _NAMED else ""
    return ", ".join(slugs[:_NAMED]) + more
