"""Remove data that is no longer needed: gates of finished sales and expired logins of staff.

Orders, ledger and audit are kept: the database refuses to delete them.
"""

from typing import NamedTuple

from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from inventory.gate import replica
from inventory.models import Sale
from orders import finishing


class Expired(NamedTuple):
    """How many gates, with the purchases that they list, and how many expired logins of staff can
    go."""

    gates: int
    sessions: int


def purge(*, really: bool = True) -> Expired:
    """Remove them, or only count them. Raises redis.RedisError and django.db.Error."""
    gates = replica.list_gates()
    sessions = Session.objects.filter(expire_date__lt=timezone.now()).count()
    if not really:
        unfinished = Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
        kept = {s.pk for s in unfinished if not s.ended() or replica.read_view(s.pk).waiting}
        return Expired(len(gates - kept), sessions)
    finishing.finish_sales()
    SessionStore.clear_expired()
    return Expired(len(gates - replica.list_gates()), sessions)
