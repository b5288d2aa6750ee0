"""Check the sales: whether each can sell, and is looked after.

A gate is a sale's replica in Redis, which decides clicks; its line holds the purchases that are accepted
and not yet decided.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.db.models import Count, QuerySet
from django.utils import timezone

from dashboard.alarms import WAITS_LONG
from flashsale.currencies import KNOWN
from inventory.gate import replica
from inventory.gate.state import Pulse
from inventory.models import Sale, Variant, time_zones
from ops.doctor.findings import Finding, failed, ok, warning
from orders.late_draws import list_late_draws
from orders.models import Order

_CATCHES_UP = 2.0  # seconds in which a worker replicates to a gate that is behind, or rebuilds one
_PAUSE = 0.1
_FINISHED_WITHIN = timedelta(minutes=1)  # after the close: beat asks every ten seconds
_NAMED = 5  # sales in one finding


def check_scripts() -> Iterator[Finding]:
    if replica.knows_scripts():
        yield ok("scripts", "Redis knows those of the gate.")
    else:
        seen = (
            "Redis does not know those of the gate: it was started or replaced,"
            " and no gate is ready."
        )
        yield failed("scripts", seen, "A worker loads them within a second: is one alive?")


def check_gates() -> Iterator[Finding]:
    """Compare each gate's version with its sale's, and wait a little for those that are catching up."""
    end = time.monotonic() + _CATCHES_UP
    while (wrong := _find_wrong_gates()) and time.monotonic() < end:
        time.sleep(_PAUSE)
    for slug, seen in wrong.items():
        yield failed(f"sale {slug}", seen, "A worker puts it right within seconds: is one alive?")
    if not wrong:
        yield ok("gates", f"{_undrained().count()} sales have one; all are ready and up to date.")


def _find_wrong_gates() -> dict[str, str]:
    """Describe the faults of gates, by the slugs of their sales."""
    pulses = replica.read_pulses(_undrained().values_list("pk", flat=True))
    # Read after the gates: PostgreSQL only goes forward, so a gate that is ahead of it really is.
    found = {
        sale.slug: _describe_fault(sale, pulses[sale.pk])
        for sale in _undrained().filter(pk__in=pulses)
    }
    return {slug: fault for slug, fault in found.items() if fault}


def _describe_fault(sale: Sale, pulse: Pulse) -> str:
    """Describe a gate's fault; an empty string if it has none."""
    if not pulse.ready or pulse.epoch != sale.epoch:
        return "Its gate is not ready: every click is answered with `busy`."
    if pulse.version > sale.version:
        return f"Its gate is ahead of PostgreSQL: at {pulse.version}, not {sale.version}."
    if pulse.version < sale.version:
        return f"Clicks are decided by an older state: its gate is at {pulse.version} of {sale.version}."
    return ""


def check_lines() -> Iterator[Finding]:
    slugs = dict(_undrained().values_list("pk", "slug"))
    waits = {slugs[sale]: pulse.waited for sale, pulse in replica.read_pulses(slugs).items()}
    slow = {slug: waited for slug, waited in waits.items() if waited > WAITS_LONG}
    for slug, waited in slow.items():
        seen = f"The oldest purchase in its line has waited for {waited / 1000:.0f} s."
        advice = "Is a worker alive, and PostgreSQL quick? Its log says what it stumbles over."
        yield failed(f"sale {slug}", seen, advice)
    if not slow:
        yield ok("lines", "No purchase waits for long.")


def check_poison() -> Iterator[Finding]:
    """Count purchases that could not be decided, except those of finished sales."""
    errors = Order.objects.filter(reason=Order.Reason.ERROR, sale__finished=False)
    found = dict(errors.values_list("sale__slug").annotate(Count("pk")).order_by("sale__slug"))
    if found:
        counts = ", ".join(f"{slug} ({count})" for slug, count in found.items())
        seen = f"Purchases that could not be decided were rejected: {counts}."
        yield warning("poison", seen, "See the worker's log for each, and tell the developers.")
    else:
        yield ok("poison", "Every purchase could be decided.")


def check_draws() -> Iterator[Finding]:
    """Find draws that are due and do not move."""
    late = list_late_draws()
    for each in late:
        seen = f"Its draw has not moved since {each.since:%Y-%m-%d %H:%M:%S} UTC: {each.words}."
        advice = "Is a worker alive? See `draw-late` in docs/running-a-sale.md."
        yield failed(f"sale {each.sale.slug}", seen, advice)
    if not late:
        yield ok("draws", "None is late.")


def check_unfinished() -> Iterator[Finding]:
    """Find sales that should have been finished: until then no other sale can list their variants."""
    over = [sale for sale in _undrained().order_by("pk") if _is_long_over(sale)]
    if over:
        seen = f"Over, but not finished: {_name(over)}. Their products cannot be sold elsewhere."
        yield warning("unfinished sales", seen, "Beat and a worker finish them: are they alive?")
    else:
        yield ok("unfinished sales", "Every sale that is over is finished.")


def _is_long_over(sale: Sale) -> bool:
    now = timezone.now()
    return sale.ended(now) and sale.closes_at < now - _FINISHED_WITHIN


def check_drafts() -> Iterator[Finding]:
    """Find drafts whose window is open: perhaps someone forgot to schedule them."""
    now = timezone.now()
    late = Sale.objects.filter(status=Sale.Status.DRAFT, opens_at__lte=now, closes_at__gt=now)
    if late:
        advice = "`manage.py sale schedule` or `sale open` lets a draft sell; or move its window."
        yield warning("drafts", f"Should be open by now, and are drafts: {_name(late)}.", advice)
    else:
        yield ok("drafts", "None should be open by now.")


def check_paused_before_opening() -> Iterator[Finding]:
    """Find sales that seem to wait for their opening, and will not open by themselves."""
    ahead = _undrained().filter(status=Sale.Status.PAUSED, opens_at__gt=timezone.now())
    if ahead:
        advice = "`manage.py sale resume` lets it open by the clock."
        yield warning("paused", f"Paused before their opening: {_name(ahead)}.", advice)
    else:
        yield ok("paused", "No sale is paused before its opening.")


def check_currencies() -> Iterator[Finding]:
    """Find codes that were stored before codes were checked: their decimals are unknown."""
    codes = Variant.objects.exclude(currency__in=KNOWN).values_list("currency", flat=True)
    unknown = sorted(set(codes.distinct().order_by()))
    if unknown:
        seen = f"Prices are in currencies that ISO 4217 does not list: {', '.join(unknown)}."
        advice = "They are shown with two decimals. Choose other currencies in admin, *Products*."
        yield warning("currencies", seen, advice)
    else:
        yield ok("currencies", "ISO 4217 lists those of all prices.")


def check_time_zones() -> Iterator[Finding]:
    """Find sales whose time zone this machine does not know: their times are shown in UTC."""
    unknown = list(Sale.objects.exclude(time_zone__in=time_zones()).order_by("pk"))
    if unknown:
        seen = f"This machine does not know those of some sales: {_name(unknown)}."
        advice = "Their times are shown in UTC. Update the package `tzdata`, or end these sales."
        yield warning("time zones", seen, advice)
    else:
        yield ok("time zones", "Those of all sales are known.")


def _undrained() -> QuerySet[Sale]:
    """Sales that have a gate: neither drafts nor finished."""
    return Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)


def _name(sales: Iterable[Sale]) -> str:
    slugs = [sale.slug for sale in sales]
    more = f" and {len(slugs) - _NAMED} more" if len(slugs) > _NAMED else ""
    return ", ".join(slugs[:_NAMED]) + more


CHECKS = (
    check_scripts,
    check_gates,
    check_lines,
    check_poison,
    check_draws,
    check_unfinished,
    check_drafts,
    check_paused_before_opening,
    check_currencies,
    check_time_zones,
)
