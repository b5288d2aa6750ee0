"""What `manage.py sale` says of a sale and of its gate, in lines for a terminal."""

from zoneinfo import ZoneInfo

from django.utils import timezone

from flashsale.characters import isolate
from flashsale.moments import find_zone
from inventory.models import Sale
from ops.lifecycle_command import Facts, format_in_zone, format_window, sale_facts
from ops.overview import Overview
from orders.audit_trail import describe_change
from orders.models import AuditEntry

_UTC = ZoneInfo("UTC")


def describe(sale: Sale) -> str:
    """The sale in a question: its slug, state and window."""
    return f"{sale.slug} ({sale.state(timezone.now())}, {format_window(sale)})"


def describe_rules(sale: Sale) -> str:
    """Its limit, and who gets units; the rules of its checkout if it has one."""
    limit = f"limit {sale.limit}{describe_entry(sale)}"
    if not sale.has_checkout:
        return limit
    asks = f", asks for {sale.get_ask_display()}" if sale.ask else ""
    paid = f", paid by {sale.payment}" if sale.payment else ""
    return f"{limit}, hold {sale.hold_minutes} min{asks}{paid}"


def describe_entry(sale: Sale) -> str:
    """`, draw at …, standby`; "" for a sale by arrival without such rules."""
    said = []
    if sale.draw_at:
        zone = find_zone(sale.time_zone)
        said.append(f"draw at {format_in_zone(sale.draw_at, zone)} ({sale.get_draw_display()})")
    if sale.standby:
        said.append("standby")
    if sale.entrants:
        said.append(f"only {sale.get_entrants_display()}")
    if sale.per_address:
        said.append(f"at most {sale.per_address:,} per network")
    return "".join(f", {words}" for words in said)


def describe_result(sale: Sale) -> tuple[Facts, str]:
    """The sale after a change, for JSON and as a line."""
    words = (
        f"{sale.slug}: {sale.state(timezone.now())}, {format_window(sale)}, {describe_rules(sale)}"
    )
    return {"sale": sale_facts(sale)}, words


def describe_sale(sale: Sale) -> list[str]:
    """The sale as PostgreSQL holds it."""
    lines = [
        f"{sale.slug}  {sale}",
        f"phase      {sale.state(timezone.now())}; {describe_rules(sale)};"
        f" {sale.confirmed} orders confirmed{f', {sale.held} held' if sale.hold_minutes else ''}",
        f"window     {format_window(sale)}",
    ]
    if sale.time_zone != "UTC":
        lines.append(f"           {format_window(sale, _UTC)}")
    if sale.price_note:
        lines.append(f"price      {isolate(sale.price_note)}")
    if sale.has_checkout:
        kept = f"{sale.contact_days} days" if sale.contact_days else "for ever"
        lines.append(f"contacts   kept {kept}; terms of {len(sale.terms):,} characters")
    return lines


def describe_gate(seen: Overview) -> list[str]:
    """Its gate, or why it has none."""
    view = seen.view
    if view is None:
        return ["gate       not known" if seen.problem else "gate       none, and none is needed"]
    state = "ready" if view.ready else "NOT READY: it accepts nothing until a worker has rebuilt it"
    oldest = f", the oldest for {seen.waited / 1000:.1f} s" if view.in_line else ""
    return [
        f"gate       {state}, at version {view.version} of {seen.sale.version}",
        f"line       {view.in_line} purchases{oldest}",
    ]


def describe_draw(seen: Overview) -> list[str]:
    """How far its draw is, and how many wait; nothing of a sale that has neither."""
    sale, draw = seen.sale, seen.draw
    waiting = sum(sale.waiting.values())
    if sale.draw_at is None:
        return [f"standby    {waiting:,} wait"] if sale.standby or waiting else []
    lines = [f"draw       {sale.get_draw_display()}; {waiting:,} wait"]
    if draw:
        rounds = (
            f", beacon {draw.beacon} round {draw.round}" if draw.beacon else ", without a beacon"
        )
        lines.append(f"           commitment {draw.commitment}{rounds}")
    if draw and draw.root:
        lines.append(
            f"           root {draw.root} of {draw.entries:,} entries, {draw.allotted:,} with an outcome"
        )
    return lines


def describe_open_holds(seen: Overview) -> list[str]:
    """Who keeps units in open holds; nothing of a sale without a hold."""
    found = seen.open_holds
    if found is None:
        return []
    lines = [
        f"holds      at most {found.of_shopper:,} open of a shopper, {found.of_network:,} of an address;"
        f" {found.crowded:,} addresses have more than {found.few}, with {found.kept:,} units",
    ]
    if found.top:
        listed = ", ".join(f"{each.label} {each.holds:,}" for each in found.top)
        lines.append(f"           by address: {listed}")
    return lines


def audit_row(entry: AuditEntry, zone: ZoneInfo) -> tuple[str, ...]:
    """A row of the sale's audit: when, by whom, what, of what, the change and its reason."""
    return (
        format_in_zone(entry.at.replace(microsecond=0), zone),
        entry.actor,
        entry.get_action_display(),
        entry.subject,
        describe_change(entry),
        entry.reason,
    )
