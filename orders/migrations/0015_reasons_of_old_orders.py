"""Check the new constraint for old orders, in a transaction of its own: reads and writes go on meanwhile."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0014_waiting")]

    operations = [ValidateConstraint("Order", "order_reason_iff_rejected")]
