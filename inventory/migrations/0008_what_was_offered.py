from django.db import migrations

# Units left, plus units that the sale has sold so far. Separate from the migration that adds the column, whose lock
# would block settlement while this reads the ledger.
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
