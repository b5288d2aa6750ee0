"""What can become of an accepted purchase."""

from conftest import MakeSale
from inventory.models import Sale
from orders import cancellation, sale_lifecycle
from orders.settlement import settle
from tests.cast import Shopper, promise_too_much, rename
from tests.contract.shapes import purchase_in

# Status and reason of the order.
FATES = {
    "confirmed": ("confirmed", ""),
    "sold out": ("rejected", "sold_out"),
    "over the limit": ("rejected", "limit"),
    "changed": ("rejected", "changed"),
    "cancelled": ("cancelled", ""),
}


def decided(fate: str, shopper: Shopper, make_sale: MakeSale) -> tuple[Sale, str]:
    """A sale, and the ticket of a purchase of two units that was accepted and met this fate."""
    sale = make_sale(stock=0 if fate == "sold out" else 5, limit=2)
    promise_too_much(sale, 5)
    ticket = shopper.ticket(sale)
    assert shopper.buy(sale, ticket, quantity=2).status_code == 202
    if fate == "over the limit":
        sale_lifecycle.change_limit(sale.pk, 1, by="staff")
    if fate == "changed":
        rename(sale)
    settle(sale.pk)
    if fate == "cancelled":
        cancellation.cancel_order(purchase_in(ticket), by="staff")
    return sale, ticket
