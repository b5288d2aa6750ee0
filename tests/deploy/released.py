"""What the last release asks PostgreSQL on the purchase path, and when it cancels. While a new one is
rolled out, processes of the old one go on with these on the new schema.

`python -m tests.deploy.released` writes down what this version asks: part of making a release.
"""

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import django
from django.db import transaction
from django.db.models import sql

KEPT = Path(__file__).with_name("released.json")


def now() -> dict[str, Any]:
    """The statements of this version, and in which order one of them takes its values."""
    from inventory import stock
    from orders import holds, replication, settlement_statements
    from orders.models import Order

    one = Order.objects.filter(pk=UUID(int=0)).query
    cancelled = one.chain(sql.UpdateQuery)
    assert isinstance(cancelled, sql.UpdateQuery)
    cancelled.add_update_values({"status": Order.Status.CANCELLED, "version": 2})
    locking, places = stock._locking_listed(1)
    return {
        "lock the sale": settlement_statements.locking_sale(),
        "lock a product": locking,
        "order of its values": ["sale" if place == stock._A_SALE else "sku" for place in places],
        "look up": settlement_statements.LOOK_UP,
        "write": settlement_statements.WRITE,
        "write holds": settlement_statements.WRITE_HELD,
        "find ended holds": holds._FIND,
        "expire holds": holds._EXPIRE,
        "tale": replication._DELTA,
        "read an order": one.sql_with_params()[0],
        "cancel an order": cancelled.get_compiler("default").as_sql()[0],
    }


def then() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(KEPT.read_text())
    return kept


if __name__ == "__main__":
    from tests import servers

    servers.start()  # Django asks whom it writes a statement for
    try:
        os.environ["DJANGO_SETTINGS_MODULE"] = "flashsale.settings"
        django.setup()
        with transaction.atomic():  # or Django writes none that locks
            KEPT.write_text(json.dumps(now(), indent=1) + "\n")
    finally:
        servers.stop()
