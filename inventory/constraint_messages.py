"""Messages for staff when a constraint of PostgreSQL refuses a change."""

from django.db import IntegrityError

# Constraints whose own messages would not help staff.
_MESSAGES = {
    "listing_in_one_unfinished_sale": "A product is in another sale that has not finished.",
    "listing_windows_apart": "Another sale of one of these products has a window in this one.",
    "listing_once": "A product is listed twice.",
    "sale_window_in_order": "The sale must open before it closes.",
    "sale_checkout_needs_hold": "What is asked or paid at a checkout needs a hold of some minutes.",
    "sale_checkout_fixed": "The sale is public: what its checkout asks, payment and terms are fixed.",
    "sale_draw_in_window": "The draw must be after the opening, and not after the close.",
    "sale_entry_fixed": "The sale is public: its draw, the address of one with a draw and who may"
    " buy are fixed, and standby stays on.",
    "sale_window_sensible": "The year must be from 2000 to 2999.",
    "product_slug_once": "Another product has this slug.",
    "inventory_sale_slug_key": "Another sale has this slug.",
    "sale_slug_any_case": "Another sale has this slug; capital letters make no difference.",
    "inventory_product_sku_key": "Another product has this sku.",
    "product_sku_any_case": "Another product has this sku; capital letters make no difference.",
}


def explain(refusal: IntegrityError) -> str:
    """Why the change was refused: the message for the constraint, else the first line of
    PostgreSQL's own."""
    diagnostics = getattr(refusal.__cause__, "diag", None)
    constraint = getattr(diagnostics, "constraint_name", None)
    own = getattr(diagnostics, "message_primary", None) or str(refusal)
    return _MESSAGES.get(constraint or "", f"{own[:1].upper()}{own[1:]}.")
