"""What is kept no longer than it is of use. Orders, ledger and audit are kept for ever: the database
refuses to forget them."""

from typing import NamedTuple

from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from inventory.gate import replica
from inventory.models import Sale
from orders import finishing


class Expired(NamedTuple):
    """What can go, counted: gates of sales that are over, with what their guests did there, and logins of
    staff that have ended."""

    gates: int
    sessions: int


def purge(*, really: bool = True) -> Expired:
    """Removes it, or only counts. Raises redis.RedisError and django.db.Error."""
    standing = replica.list_gates()
    sessions = Session.objects.filter(expire_date__lt=timezone.now()).count()
    if not really:
        unfinished = Sale.objects.filter(finished=False).exclude(status=Sale.Status.DRAFT)
        kept = {s.pk for s in unfinished if not s.ended() or replica.read_view(s.pk).waiting}
        return Expired(len(standing - kept), sessions)
    finishing.finish_sales()
    SessionStore.clear_expired()
    return Expired(len(standing - replica.list_gates()), sessions)
