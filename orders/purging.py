"""Remove data that is no longer needed: gates of finished sales, expired logins of staff, and pictures that
nothing has used for a day.

Orders, ledger and audit are kept: the database refuses to delete them.
"""

from typing import NamedTuple

from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from inventory import picture_retention
from inventory.gate import replica
from inventory.models import Sale
from orders import finishing


class Expired(NamedTuple):
    """How many gates, with the purchases that they list, how many expired logins of staff, and how many
    files of pictures can go."""

    gates: int
    sessions: int
    pictures: int


def purge(*, really: bool = True) -> Expired:
    """Remove them, or only count them. Raises redis.RedisError, django.db.Error and OSError."""
    gates = replica.list_gates()
    sessions = Session.objects.filter(expire_date__lt=timezone.now()).count()
    pictures = picture_retention.remove_unused(really=really)
    if not really:
        unfinished = Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
        kept = {s.pk for s in unfinished if not s.ended() or replica.read_view(s.pk).in_line}
        return Expired(len(gates - kept), sessions, pictures)
    finishing.finish_sales()
    SessionStore.clear_expired()
    return Expired(len(gates - replica.list_gates()), sessions, pictures)
