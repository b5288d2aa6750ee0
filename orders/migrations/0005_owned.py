"""Orders get a column for the units that they own, computed by PostgreSQL.

The table is rewritten under a lock (`docs/operations.md` says for how long), which has to be had first: an export
that reads all orders keeps it. While the migration waits for the lock, every other statement on orders waits behind
it, so it waits briefly, fails, and is run again.
"""

from django.db import migrations, models

LOCK_SOON = "SET LOCAL lock_timeout = '5s'"


class Migration(migrations.Migration):
    dependencies = [("orders", "0004_implied_references")]

    operations = [
        migrations.RunSQL(LOCK_SOON, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="order",
            name="owned",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(status__in=("confirmed",), then=models.F("quantity")), default=0
                ),
                output_field=models.PositiveIntegerField(),
            ),
        ),
    ]
