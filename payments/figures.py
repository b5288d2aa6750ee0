"""Figures of payments for staff and monitoring."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Count, Min
from django.utils import timezone

from payments.lost import LOST
from payments.models import Attempt, Refund

# The provider has not said how these end, or was not heard.
_WITHOUT_AN_END = (Attempt.State.UNKNOWN, Attempt.State.CAPTURING)


@dataclass(frozen=True, slots=True)
class Figures:
    """Attempts and refunds by state; `oldest_unknown`: seconds for which an attempt has been without an
    end that is known; `lost`: attempts that cannot be found at their provider."""

    attempts: Counter[str] = field(default_factory=Counter)
    refunds: Counter[str] = field(default_factory=Counter)
    oldest_unknown: float = 0.0
    lost: int = 0


def read_figures() -> Figures:
    """Count all payments. Raises DatabaseError."""
    unknown = Attempt.objects.filter(state__in=_WITHOUT_AN_END, due__isnull=False)
    since = unknown.aggregate(since=Min("changed_at"))["since"]
    return Figures(
        _count(Attempt),
        _count(Refund),
        (timezone.now() - since).total_seconds() if since else 0.0,
        Attempt.objects.filter(LOST).count(),
    )


def _count(model: type[Attempt] | type[Refund]) -> Counter[str]:
    rows = model._default_manager.order_by().values_list("state").annotate(Count("pk"))
    return Counter(dict(rows))
