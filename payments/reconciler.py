"""The reconciler: goes on with everything whose end is not known. A thread of each worker runs it.

Events first, because they say which payments have news; then orders that were cancelled, refunds, and
payments. Each row is claimed for a while, so several workers share the work, and what a killed one has
claimed is due again.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from django.db import DatabaseError, models, transaction
from django.utils import timezone

from flashsale.database import give_back_after, is_away
from orders.models import OutboxRow
from payments import events, refunds
from payments.lost import advance_or_wait
from payments.models import Attempt, ProviderEvent, Refund
from payments.transitions import LEASE

log = logging.getLogger(__name__)

AT_A_TIME = 40  # rows of a kind in a round
_THREADS = 4  # so that one slow call does not delay all others

Row = TypeVar("Row", bound=models.Model)


def reconcile_payments() -> None:
    """Go on with all that is due, some at a time. Raises DatabaseError if PostgreSQL is away."""
    for event in _claim(ProviderEvent.objects.all()):
        _isolated(events.take, event)
    for row in _claim(OutboxRow.objects.filter(consumer=OutboxRow.Consumer.REFUND)):
        _isolated(refunds.begin_refund, row)
    _run(refunds.push, _claim(Refund.objects.filter(state=Refund.State.PENDING)))
    _run(advance_or_wait, _claim(Attempt.objects.all()))


def _claim(rows: "models.QuerySet[Row]") -> list[object]:
    """The keys of rows that are due, oldest first. They are due again after LEASE, unless their work says
    otherwise. Waits for no lock."""
    now = timezone.now()
    due = rows.filter(due__lte=now).order_by("due")
    if not due.exists():  # mostly so: twice a second, without a transaction
        return []
    with transaction.atomic():
        free = due.select_for_update(no_key=True, skip_locked=True)
        keys = list(free.values_list("pk", flat=True)[:AT_A_TIME])
        rows.filter(pk__in=keys).update(due=now + LEASE)
    return keys


def _run(work: Callable[..., None], keys: list[object]) -> None:
    if len(keys) > 1:
        list(_threads().map(lambda key: give_back_after(_isolated, work, key), keys))
    else:
        for key in keys:
            _isolated(work, key)


def _isolated(work: Callable[..., None], key: object) -> None:
    """Log an error that concerns one row, so that the others go on: it is due again after LEASE."""
    try:
        work(key)
    except DatabaseError as error:
        if is_away(error):
            raise
        log.warning("%s %s: left for later: %s", work.__name__, key, error)
    except Exception:
        log.exception("%s %s: left for later", work.__name__, key)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="payments")
