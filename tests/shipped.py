"""Orders that are to be shipped, with the contact of a shopper whose name is in no other text."""

from dataclasses import astuple
from uuid import UUID

from accounts import contacts
from accounts.contacts import Details
from flashsale.database import bounded_transaction
from inventory.models import Sale
from orders import confirmation, settlement
from orders.models import Order
from payments.models import Attempt
from tests.cast import queue_up

ANNA = Details(
    email="Anna.Quellwasser+drop@example.org",
    name="Anna Quellwasser",
    company="Quellwasser & Töchter",
    street="Krähenwinkel 12b\nHinterhaus",
    city="Buxtehude",
    postcode="21614",
    country="DE",
    phone="+4941619876543",
)


def give_contact(order: UUID, details: Details = ANNA) -> Details:
    """As the checkout does."""
    with bounded_transaction():
        contacts.save(order, details, language="de", accepted_terms=True)
    return details


def sell(sale: Sale, orders: int = 1, *, quantity: int = 1) -> list[Order]:
    """Confirmed orders, in the order of their acceptance; of a sale with a hold through it."""
    purchases = queue_up(sale, orders, quantity=quantity)
    settlement.settle(sale.pk)
    if sale.hold_minutes:
        for purchase in purchases:
            confirmation.confirm_hold(purchase)
    return list(Order.objects.filter(pk__in=purchases).order_by("accepted_at", "id"))


def pay(order: Order, reference: str = "pi_3QuellwasserTest") -> Attempt:
    """A captured payment, as the provider's answer leaves it."""
    return Attempt.objects.create(
        order=order,
        provider="demo",
        reference=reference,
        amount=order.total,
        currency=order.currency,
        state=Attempt.State.CAPTURED,
        due=None,
    )


def personal(details: Details = ANNA) -> list[str]:
    """The texts that must not be found elsewhere: each line, and the parts that name a person."""
    found = [line for text in astuple(details) for line in str(text).splitlines()]
    return [text for text in (*found, "Quellwasser") if len(text) > 3]
