"""Build the indexes of waiting orders and of an order's audit. Clicks are decided meanwhile.

An index whose building was cut off stays behind, invalid: it is dropped first, so that `migrate` can be run again.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0015_reasons_of_old_orders")]

    operations = [
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS order_waiting", migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                condition=models.Q(("status", "waiting")),
                fields=["sale", "variant", "place"],
                name="order_waiting",
            ),
        ),
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS audit_of_order", migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("order__isnull", False)),
                fields=["order"],
                name="audit_of_order",
            ),
        ),
    ]
