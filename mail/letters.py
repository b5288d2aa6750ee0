"""What each mail says: its subject and its parts, in the active language. Text and HTML
are made of the same.

A letter is about its order as it is when the letter is sent. One that is not true any more is not sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts import addresses, contacts
from accounts.contacts import Contact
from flashsale.characters import isolate
from flashsale.compiled import Compiled, Given
from flashsale.moments import find_zone, name_zone
from flashsale.money import format_money
from flashsale.templatetags.dates import moment_in_words
from orders.cancellation import find_given_back
from orders.models import Order, OutboxRow, Shipment
from orders.order_links import link_to
from payments import paying
from payments.models import Refund

Event, Status = OutboxRow.Event, Order.Status

_MOST_LINKS = 50  # orders in one letter

_HELD = Compiled(
    Order,
    lambda: Order.objects.filter(pk=Given("order"), status=Status.HELD, hold_until__gt=Now()).only(
        "pk"
    ),
)


@dataclass(frozen=True)
class Link:
    words: str
    address: str


@dataclass(frozen=True)
class Letter:
    """A mail without addresses: sentences, then rows of a table, then links, then smaller sentences."""

    subject: str
    sentences: list[str]
    links: list[Link] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write(row: OutboxRow, order: Order, contact: Contact) -> Letter | None:
    """The letter of a row; None if it is not true any more. Raises django.db.DatabaseError."""
    return _WRITERS[Event(row.event)](order, contact)


def _write_drawn(order: Order, contact: Contact) -> Letter | None:
    sentence = _("Lots have decided, and you were drawn! %(what)s is held for you until %(until)s.")
    return _write_held(order, _("You were drawn: %(what)s"), sentence, _to_order(order))


def _write_served(order: Order, contact: Contact) -> Letter | None:
    sentence = _("Units came back, and it is your turn: %(what)s is held for you until %(until)s.")
    return _write_held(order, _("It is your turn: %(what)s"), sentence, _to_order(order))


def _write_secured(order: Order, contact: Contact) -> Letter | None:
    sentence = _("%(what)s is held for you until %(until)s.")
    return _write_held(order, _("Held for you: %(what)s"), sentence)


def _write_held(order: Order, subject: str, sentence: str, *more: Link) -> Letter | None:
    if not _is_held(order):
        return None
    return Letter(
        subject % {"what": _what(order)},
        [
            sentence % {"what": _what(order), "until": _until(order)},
            _("Complete your order before then. Otherwise others can buy it."),
        ],
        [_to_checkout(order), *more],
        _summary(order),
        [_about_links()],
    )


def _write_expiring(order: Order, contact: Contact) -> Letter | None:
    if not _is_held(order):
        return None
    return Letter(
        _("Only a few minutes left: %(what)s") % {"what": _what(order)},
        [
            _("%(what)s is held for you until %(until)s.")
            % {"what": _what(order), "until": _until(order)},
            _("Your order is not complete yet. After that time others can buy it."),
        ],
        [_to_checkout(order)],
        notes=[_about_links()],
    )


def _write_expired(order: Order, contact: Contact) -> Letter | None:
    if order.status != Status.EXPIRED:
        return None
    return Letter(
        _("No longer held: %(what)s") % {"what": _what(order)},
        [
            _("%(what)s was held for you until %(until)s. The order was not completed by then.")
            % {"what": _what(order), "until": _until(order)},
            _about_money(order),
        ],
        [_to_order(order)],
    )


def _write_confirmed(order: Order, contact: Contact) -> Letter | None:
    if order.status != Status.CONFIRMED:
        return None
    return Letter(
        _("Order %(reference)s is confirmed") % {"reference": order.reference},
        [_("Thank you! Your order is confirmed: %(what)s is yours.") % {"what": _what(order)}],
        [_to_order(order)],
        [*_summary(order), *_delivery(contact)],
        [_about_links()],
    )


def _write_cancelled(order: Order, contact: Contact) -> Letter | None:
    if order.status != Status.CANCELLED:
        return None
    given_back = bool(find_given_back([order.pk]))
    subject = (
        _("Order %(reference)s: given back")
        if given_back
        else _("Order %(reference)s is cancelled")
    )
    text = (
        _("You gave %(what)s back.") if given_back else _("Your order of %(what)s was cancelled.")
    )
    return Letter(
        subject % {"reference": order.reference},
        [text % {"what": _what(order)}, _about_money(order)],
        [_to_order(order)],
    )


def _write_refunded(order: Order, contact: Contact) -> Letter | None:
    return Letter(
        _("Your money for order %(reference)s") % {"reference": order.reference},
        [
            _("We have paid back %(amount)s to you, for %(what)s.")
            % {"amount": _paid_back(order), "what": _what(order)},
            _("Until your bank shows it, some days may pass."),
        ],
        [_to_order(order)],
    )


def _write_shipped(order: Order, contact: Contact) -> Letter | None:
    parcel = Shipment.objects.filter(order=order).first()
    if parcel is None:
        return None
    rows = [
        (_("Carrier"), isolate(parcel.carrier)),
        (_("Tracking number"), isolate(parcel.tracking_number)),
    ]
    links = [Link(_("Follow the parcel"), parcel.tracking_url)] if _is_web(parcel) else []
    return Letter(
        _("Order %(reference)s is on its way") % {"reference": order.reference},
        [_("%(what)s was handed to the carrier.") % {"what": _what(order)}],
        [*links, _to_order(order)],
        [(name, value) for name, value in rows if value],
    )


def _write_found(order: Order, contact: Contact) -> Letter | None:
    """The links of all orders with the address of `contact`."""
    found = contacts.find_orders(contact.details.email)[:_MOST_LINKS]
    orders = {each.pk: each for each in Order.objects.filter(pk__in=found)}
    if not orders:
        return None
    return Letter(
        _("Your orders"),
        [_("These are the orders with your e-mail address:")],
        [_to_listed(orders[key]) for key in found if key in orders],
        notes=[
            _about_links(),
            _(
                "These links were asked for on our pages. If it was not you, you need not do anything."
            ),
        ],
    )


_WRITERS: dict[OutboxRow.Event, Callable[[Order, Contact], Letter | None]] = {
    Event.DRAWN: _write_drawn,
    Event.SERVED: _write_served,
    Event.SECURED: _write_secured,
    Event.EXPIRING: _write_expiring,
    Event.EXPIRED: _write_expired,
    Event.CONFIRMED: _write_confirmed,
    Event.CANCELLED: _write_cancelled,
    Event.REFUNDED: _write_refunded,
    Event.SHIPPED: _write_shipped,
    Event.FOUND: _write_found,
}


# --- What they share ------------------------------------------------------------------------------


def _is_held(order: Order) -> bool:
    """Whether its hold goes on, by PostgreSQL's clock."""
    return _HELD.first(order=order.pk) is not None


def _what(order: Order) -> str:
    return f"{order.quantity} \u00d7 {order.bought}"


def _until(order: Order) -> str:
    return _in_words(order.hold_until, order.sale.time_zone) if order.hold_until else ""


def _in_words(moment: datetime, zone: str) -> str:
    return f"{moment_in_words(moment.astimezone(find_zone(zone)))} ({name_zone(moment, zone)})"


def _summary(order: Order) -> list[tuple[str, str]]:
    total = format_money(order.total, order.currency)
    note = f" ({isolate(order.sale.price_note)})" if order.sale.price_note else ""
    return [
        (_("Order"), order.reference),
        (_("Sale"), isolate(order.sale.name)),
        (_("Product"), order.bought),
        (_("Quantity"), str(order.quantity)),
        (_("Unit price"), format_money(order.unit_price, order.currency)),
        (_("Total"), f"{total}{note}"),
    ]


def _delivery(contact: Contact) -> list[tuple[str, str]]:
    """Where the parcel goes, in one line; nothing where no address was asked."""
    if not contact.details.country:
        return []
    return [(_("Delivery"), ", ".join(map(isolate, addresses.lines_of(contact.details))))]


def _about_money(order: Order) -> str:
    """What becomes of the money of an order that has ended."""
    payment = paying.describe(order.pk)
    stage = payment.stage if payment else "failed"
    if stage in ("paid", "refund_pending", "refund_failed"):
        amount = format_money(order.total, order.currency)
        return _("You will get %(amount)s back.") % {"amount": amount}
    if stage == "refunded":
        return _("Your money was paid back to you.")
    if stage == "failed":
        return _("You were not charged.")
    return _("If you have paid, you will get your money back.")


def _paid_back(order: Order) -> str:
    """The latest refund: of a payment of another amount it is that amount."""
    done = Refund.objects.filter(attempt__order=order, state=Refund.State.DONE)
    amount = done.order_by("-done_at").values_list("amount", flat=True).first()
    return format_money(order.total if amount is None else amount, order.currency)


def _to_checkout(order: Order) -> Link:
    return Link(_("To the checkout"), link_to(order.pk, "checkout/"))


def _to_order(order: Order) -> Link:
    return Link(_("Open your order"), link_to(order.pk))


def _to_listed(order: Order) -> Link:
    return Link(f"{order.reference}: {_what(order)}", link_to(order.pk))


def _about_links() -> str:
    return _("Links in this mail open your order on any device. Please keep them to yourself.")


def _is_web(parcel: Shipment) -> bool:
    """Whether the tracking link leads to a page: raw SQL could have stored anything."""
    return urlsplit(parcel.tracking_url).scheme in ("http", "https")
