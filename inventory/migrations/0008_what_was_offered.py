from django.db import migrations

# What is left, and what the sale has sold of it so far. Apart from the new column, whose lock would
# hold up settlement for as long as this reads the ledger.
_FROM_THE_LEDGER = """
UPDATE inventory_listing AS l SET offered = greatest(0, p.stock - coalesce(
    (SELECT sum(m.delta) FROM inventory_stockmovement AS m
     WHERE m.product_id = l.product_id AND m.sale_id = l.sale_id
     AND m.reason IN ('sold', 'cancelled')), 0))
FROM inventory_product AS p WHERE p.id = l.product_id AND l.offered = 0
"""


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0007_picture_copies"),
    ]

    operations = [
        migrations.RunSQL(_FROM_THE_LEDGER, migrations.RunSQL.noop),
    ]
