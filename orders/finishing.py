"""Finishing of sales by the clock: remove the gate of a sale that has ended and whose line is
empty.

Afterwards the sale's variants may go into another sale.
"""

import logging

import redis

from flashsale.database import bounded_transaction
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.models import Sale

log = logging.getLogger(__name__)

Status = Sale.Status


def finish_sales() -> None:
    """Finish every sale that has ended and whose line is empty, and remove gates that no sale
    needs.

    Logs what fails; the next round tries it again.
    """
    unfinished = Sale.objects.filter(finished=False).exclude(status=Status.DRAFT)
    for server, share in blocking_clients.group_by_server(unfinished.values_list("pk", flat=True)):
        try:
            gates = replica.list_gates(server)
        except redis.RedisError as error:
            log.warning("a Redis server is away, its sales are finished later: %s", error)
            continue
        try:
            _remove_orphaned_gates(gates)
        except Exception:
            log.exception("orphaned gates could not be removed; the next round tries again")
        for sale in unfinished.filter(pk__in=share):
            if sale.ended():
                try:
                    finish_sale(sale.pk)
                except Exception:
                    log.exception(
                        "sale %s could not be finished; the next round tries again", sale.pk
                    )


def _remove_orphaned_gates(gates: set[int]) -> None:
    """Remove gates without an unfinished sale: an old copy of Redis brought them back, or a finish
    was interrupted. Each under its sale's lock, because staff may schedule a draft meanwhile."""
    selling = Sale.objects.filter(finished=False).exclude(status=Status.DRAFT)
    for orphan in gates - set(selling.values_list("pk", flat=True)):
        with bounded_transaction():
            sale = Sale.objects.filter(pk=orphan).select_for_update(no_key=True).first()
            if sale is None or sale.finished or sale.status == Status.DRAFT:
                replica.remove([orphan])


def finish_sale(sale: int) -> bool:
    """Remove the gate of a sale that has ended, whose line is empty and whose draw or standby has given
    everybody an outcome. False if it must stay.

    One transaction under the sale's lock, so that no caretaker rebuilds the gate meanwhile. First a
    script checks Redis' clock and the line and removes the gate; nothing can be accepted
    afterwards. A process killed before the commit leaves a sale without a gate: the caretaker
    rebuilds it, and the next round finishes the sale.
    """
    with bounded_transaction():
        locked = Sale.objects.select_for_update(no_key=True).get(pk=sale)
        # Staff may have postponed the close, and the gate may not have that yet.
        if locked.awaits_draw or locked.waiting:  # the caretaker decides them first
            return False
        if not locked.ended() or not replica.purge_gate(sale):
            return False
        locked.finished = True
        locked.status = Status.ENDED
        locked.version += 1
        locked.save(update_fields=["finished", "status", "version"])
    return True
