"""The order of a checkout: who may open it, its contact, its payment."""

import logging
from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest

from accounts import contacts
from accounts.contacts import Contact, Details
from flashsale.compiled import Compiled, Given
from flashsale.database import in_thread
from flashsale.observe import logs
from inventory.models import Sale
from orders import cancellation
from orders.models import Order
from payments import paying
from storefront import order_access

log = logging.getLogger(__name__)

_EARLIER = 10  # of the shopper's earlier orders, whose contact may be offered

_ORDER = Compiled(
    Order, lambda: Order.objects.select_related("sale").filter(pk=Given("order")).order_by()
)
_OTHERS = Compiled(
    Order,
    lambda: (
        Order.objects.filter(shopper=Given("shopper"))
        .exclude(pk=Given("order"))
        .order_by("-accepted_at")
        .only("pk")[:_EARLIER]
    ),
)


@dataclass
class Seen:
    """An order, as far as its checkout shows it."""

    order: Order
    known: Details
    has_contact: bool
    has_accepted: bool  # the sale's terms, with this order: they are not asked for again
    payment: paying.PaymentView | None
    given_back: bool = False  # by its shopper; otherwise a cancelled order was cancelled by staff

    @property
    def sale(self) -> Sale:
        return self.order.sale

    @property
    def costs(self) -> bool:
        """Whether something is paid here. A gift needs no payment service."""
        return bool(self.sale.payment and self.order.total)

    @property
    def is_checked(self) -> bool:
        """Whether a payment is on its way, so that it must not be paid again."""
        stage = self.payment.stage if self.payment else ""
        return self.order.capturing or stage in ("taking", "unknown", "paid")


async def find_order(
    request: HttpRequest, number: UUID | None, *, alone: bool = False
) -> Seen | None:
    """The order, if there is one that the browser may open; `alone` without contact and payment."""
    if number is None:
        return None
    logs.bind_purchase(number)
    return await in_thread(_read, request, number, alone)


def _read(request: HttpRequest, number: UUID, alone: bool) -> Seen | None:
    order = _ORDER.first(order=number)
    if order is None or not order_access.may_open(request, number, order.shopper):
        return None
    if alone:
        return Seen(order, Details(), has_contact=False, has_accepted=False, payment=None)
    payment = paying.describe(number) if order.sale.payment else None
    cancelled = order.status == Order.Status.CANCELLED
    if cancelled or request.method == "POST":  # which says the contact itself
        given_back = cancelled and bool(cancellation.find_given_back([number]))
        return Seen(order, Details(), False, False, payment, given_back)
    own = _read_own(number)
    earlier = None
    if not own and order.sale.ask and order_access.is_shopper(request, order.shopper):
        earlier = _read_earlier(_find_earlier(order))
    accepted = own is not None and own.terms_accepted_at is not None
    known = own.details if own else earlier
    return Seen(order, known or Details(), own is not None, accepted, payment)


def _read_own(number: UUID) -> Contact | None:
    """The contact of this order. One that no key opens is not offered, and stops no checkout: it can be
    typed again."""
    try:
        return contacts.read(number)
    except contacts.Unreadable as error:
        log.error("%s", error)
        return None


def _read_earlier(orders: list[UUID]) -> Details | None:
    """The contact of the first of these orders that has one."""
    try:
        found = contacts.read_many(orders)
    except contacts.Unreadable as error:
        log.error("%s", error)
        return None
    return next((found[order] for order in orders if order in found), None)


def _find_earlier(order: Order) -> list[UUID]:
    """The shopper's latest other orders. Only their own browser is offered their contact."""
    return [other.pk for other in _OTHERS.ask(shopper=order.shopper, order=order.pk)]
