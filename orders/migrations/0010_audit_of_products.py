"""The audit names products, too. Its column is optional: processes of the last release do not know it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0011_product"),
        ("orders", "0009_what_was_bought"),
    ]

    operations = [
        migrations.AddField(
            "AuditEntry",
            "product",
            models.ForeignKey(
                blank=True,
                db_column="catalogue_product_id",
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="audit",
                to="inventory.product",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "Order",
                    "variant",
                    models.ForeignKey(
                        db_column="product_id",
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="orders",
                        to="inventory.variant",
                    ),
                ),
                migrations.AlterField(
                    "AuditEntry",
                    "variant",
                    models.ForeignKey(
                        blank=True,
                        db_column="product_id",
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="audit",
                        to="inventory.variant",
                    ),
                ),
            ]
        ),
    ]
