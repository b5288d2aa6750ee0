"""What PostgreSQL refuses, in words for staff."""

from django.db import IntegrityError

# Rules whose own words would tell staff little.
_EXPLAINED = {
    "listing_in_one_unfinished_sale": "A product is in another sale that has not finished.",
    "listing_windows_apart": "Another sale of one of these products has a window in this one.",
    "listing_once": "A product is listed twice.",
    "sale_window_in_order": "It must open before it closes.",
    "sale_window_sensible": "A year from 2000 to 2999 is meant.",
    "inventory_sale_slug_key": "Another sale has this slug.",
}


def explain(refusal: IntegrityError) -> str:
    """Why the change was refused: our words for a constraint, else PostgreSQL's own first line."""
    diagnostics = getattr(refusal.__cause__, "diag", None)
    constraint = getattr(diagnostics, "constraint_name", None)
    own = getattr(diagnostics, "message_primary", None) or str(refusal)
    return _EXPLAINED.get(constraint or "", f"{own[:1].upper()}{own[1:]}.")
