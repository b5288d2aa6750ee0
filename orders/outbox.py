"""The outbox: news of an order are written in the transaction that they tell of.

So nothing is told that did not happen, and nothing that happened is not told. Consumers lie in other
rooms: mail and payments take their rows after the commit, as often as it takes.
"""

from collections.abc import Iterable
from uuid import UUID

from flashsale.database import require_transaction
from orders.models import OutboxRow

Consumer, Event = OutboxRow.Consumer, OutboxRow.Event

_CONSUMERS: dict[OutboxRow.Event, tuple[OutboxRow.Consumer, ...]] = {
    Event.SECURED: (Consumer.MAIL,),
    Event.EXPIRING: (Consumer.MAIL,),
    Event.EXPIRED: (Consumer.MAIL,),
    Event.CONFIRMED: (Consumer.MAIL,),
    Event.CANCELLED: (Consumer.MAIL, Consumer.REFUND),
    Event.REFUNDED: (Consumer.MAIL,),
    Event.SHIPPED: (Consumer.MAIL,),
}


def tell(orders: Iterable[UUID], event: OutboxRow.Event, detail: str = "") -> None:
    """Add a row for each order and each consumer of the event; one that is there already stays.

    Must run in the transaction of the change. `detail` has at most 200 characters and nothing personal.
    """
    require_transaction()
    OutboxRow.objects.bulk_create(
        (
            OutboxRow(consumer=consumer, event=event, order_id=order, detail=detail)
            for order in orders
            for consumer in _CONSUMERS[event]
        ),
        ignore_conflicts=True,
    )
