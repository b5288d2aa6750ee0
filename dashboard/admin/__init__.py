"""Django admin for staff: what is for sale, the life of a sale, orders, ledger and audit.

What is written here by hand is checked and written down; everything else is only shown, and changes
through the functions of `orders/changes.py`, which lock, keep the books and tell the gate.
"""

from django.contrib import admin

from dashboard.admin import history, orders, products, sales

__all__ = ["history", "orders", "products", "sales"]

admin.site.site_header = admin.site.site_title = "Flash Sale: staff"
admin.site.index_title = "Prepare and look up"
