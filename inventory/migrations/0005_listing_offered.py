from django.db import migrations, models

# What is left, and what the sale has sold of it so far.
_FROM_THE_LEDGER = """
UPDATE inventory_listing AS l SET offered = p.stock - coalesce(
    (SELECT sum(m.delta) FROM inventory_stockmovement AS m
     WHERE m.product_id = l.product_id AND m.sale_id = l.sale_id
     AND m.reason IN ('sold', 'cancelled')), 0)
FROM inventory_product AS p WHERE p.id = l.product_id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0004_sensible_moments"),
    ]

    operations = [
        migrations.AddField(
            model_name="listing",
            name="offered",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.RunSQL(_FROM_THE_LEDGER, migrations.RunSQL.noop),
    ]
