"""Check the new constraint for old movements, in a transaction of its own: reads and writes go on meanwhile."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inventory", "0014_holds")]

    operations = [ValidateConstraint("StockMovement", "movement_explained")]
