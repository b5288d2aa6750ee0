"""Check whether anybody can buy in a sale for people with an access code."""

from collections.abc import Iterator

from accounts import access_codes
from inventory.models import Sale
from ops.doctor.findings import Finding, ok, warning

_NAMED = 5  # sales


def check_access_codes() -> Iterator[Finding]:
    """Find scheduled and open sales that ask for an access code and have none."""
    without = [sale for sale in _list_by_code() if not access_codes.exist(sale.pk)]
    for sale in without[:_NAMED]:
        seen = "It asks for an access code, and has none: nobody can buy."
        yield warning(
            f"sale {sale.slug}", seen, f"./manage.py codes generate {sale.slug} --count N"
        )
    if not without:
        yield ok("access codes", "Each sale that asks for one has some.")


def _list_by_code() -> Iterator[Sale]:
    public = Sale.objects.exclude(status__in=[Sale.Status.DRAFT, Sale.Status.ENDED])
    return public.filter(entrants=Sale.Entrants.CODE).order_by("opens_at", "pk").iterator()
