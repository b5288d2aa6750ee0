"""Check whether one address could take most of a sale that is to come."""

from collections.abc import Iterator

from django.db.models import QuerySet
from django.utils import timezone

from inventory.models import Sale
from ops.doctor.findings import Finding, ok, warning
from orders.network_bound import describe_proposals

_NAMED = 5  # sales


def check_network_bounds() -> Iterator[Finding]:
    """Find sales ahead that anyone may enter, and whose networks have no bound."""
    unbounded = _list_unbounded()
    for sale in unbounded[:_NAMED]:
        seen = "One address with many cookies can take all of it: it has no bound per network."
        advice = f"Set `per network` while it is a draft. Proposed: {describe_proposals(sale)}."
        yield warning(f"sale {sale.slug}", seen, advice)
    if not unbounded:
        yield ok("networks", "No sale ahead lets one address take all of it.")


def _list_unbounded() -> QuerySet[Sale]:
    ahead = Sale.objects.filter(opens_at__gt=timezone.now()).exclude(status=Sale.Status.ENDED)
    return ahead.filter(per_address=0, entrants=Sale.Entrants.ANYONE).order_by("opens_at", "pk")
