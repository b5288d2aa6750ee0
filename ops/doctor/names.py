"""Check names that a version before these rules has taken, or raw SQL has written."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from flashsale.characters import describe, find_hidden
from inventory.models import Sale, Variant
from inventory.names import find_clashes
from inventory.products import Picture, Product
from ops.doctor.findings import Finding, ok, warning

_NAMED = 5  # in one finding
_TEXTS = ("name", "option", "text", "description", "size_guide")


def check_clashes() -> Iterator[Finding]:
    """Find skus and slugs that differ by case only: PostgreSQL refuses new ones."""
    found = [*find_clashes(Variant.objects.all(), "sku"), *find_clashes(Sale.objects.all(), "slug")]
    if not found:
        yield ok("skus and slugs", "No two differ by case only.")
        return
    seen = f"Some differ by case only: {_list([' and '.join(group) for group in found])}."
    advice = (
        "Commands and addresses find each only as it is written. Delete one of each that has never"
        " been sold, in admin; give drafts another slug."
    )
    yield warning("skus and slugs", seen, advice)


def check_hidden_characters() -> Iterator[Finding]:
    """Find names with characters that cannot be seen, which admin refuses when they are typed."""
    found = [
        *_hidden_in(Product.objects.all(), "slug"),
        *_hidden_in(Picture.objects.all(), "file"),
        *_hidden_in(Variant.objects.all(), "sku"),
        *_hidden_in(Sale.objects.all(), "slug"),
    ]
    if found:
        seen = f"Some contain characters that cannot be seen: {_list(found)}."
        yield warning("names", seen, "Type these names again, in admin.")
    else:
        yield ok("names", "None contains a character that cannot be seen.")


def _hidden_in(rows: "QuerySet[Any]", key: str) -> Iterator[str]:
    for row in rows.order_by("pk").iterator():
        # Joined by a line break: no text needs a hidden character for its neighbour.
        if hidden := find_hidden("\n".join(getattr(row, name, "") for name in _TEXTS)):
            yield f"{getattr(row, key)} ({', '.join(map(describe, hidden))})"


def _list(found: list[str]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


CHECKS = (check_clashes, check_hidden_characters)
