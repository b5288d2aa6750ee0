"""Allow the reason `changed`: a purchase of a variant that was changed between click and decision.

Old processes never write it. The new constraint is checked for new rows from here on, and for old rows by the next
migration, which locks nobody out.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

LOCK_SOON = "SET LOCAL lock_timeout = '5s'"
REASONS = ["sold_out", "limit", "changed", "error"]


class Migration(migrations.Migration):
    dependencies = [("orders", "0006_variant")]

    operations = [
        migrations.RunSQL(LOCK_SOON, migrations.RunSQL.noop),
        migrations.AlterField(
            "Order",
            "reason",
            models.CharField(
                blank=True,
                choices=[
                    ("", "None"),
                    ("sold_out", "Sold Out"),
                    ("limit", "Limit"),
                    ("changed", "Changed"),
                    ("error", "Error"),
                ],
                max_length=8,
            ),
        ),
        migrations.RemoveConstraint("Order", "order_reason_iff_rejected"),
        AddConstraintNotValid(
            "Order",
            models.CheckConstraint(
                condition=models.Q(status="rejected", reason__in=REASONS)
                | (~models.Q(status="rejected") & models.Q(reason="")),
                name="order_reason_iff_rejected",
            ),
        ),
    ]
