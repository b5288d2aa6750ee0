"""Set up Django admin for staff: products, sales, orders, ledger and audit.

Products and drafts are edited here, checked and audited. All else is read-only here and changes through
the functions of `orders/changes.py`, which lock, write the ledger and the audit, and replicate to the gate
(the sale's replica in Redis).
"""

from django.contrib import admin

from dashboard.admin import (
    access_codes,
    accounts,
    history,
    orders,
    payments,
    products,
    sales,
    variants,
)

__all__ = [
    "access_codes",
    "accounts",
    "history",
    "orders",
    "payments",
    "products",
    "sales",
    "variants",
]

admin.site.site_header = admin.site.site_title = "Flash Sale: staff"
admin.site.index_title = "Prepare and look up"
