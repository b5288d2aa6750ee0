"""Check the new constraint for old rows, in a transaction of its own: reads and writes go on meanwhile."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0007_reason_changed")]

    operations = [ValidateConstraint("Order", "order_reason_iff_rejected")]
