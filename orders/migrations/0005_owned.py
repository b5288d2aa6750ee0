"""Add a column for the units that an order owns, computed by PostgreSQL.

PostgreSQL rewrites the table under an exclusive lock (`docs/operations.md` says for how long). An export that reads
all orders can keep the lock from the migration, and all other statements on orders wait behind it. So the migration
waits briefly, fails, and is run again.
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
