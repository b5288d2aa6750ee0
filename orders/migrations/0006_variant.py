"""Follow the model's new name. The columns keep theirs (`docs/decisions/0018-product-and-variant.md`)."""

import django.db.models.deletion
from django.db import migrations, models

VARIANT_OF_AN_ORDER = [
    migrations.RemoveConstraint("Order", "order_has_product"),
    migrations.RenameField("Order", "product", "variant"),
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
            verbose_name="product",
        ),
    ),
    migrations.AddConstraint(
        "Order",
        models.CheckConstraint(
            condition=models.Q(("variant__isnull", False), ("reason", "error"), _connector="OR"),
            name="order_has_product",
        ),
    ),
]
VARIANT_OF_AN_AUDIT_ENTRY = [
    migrations.RenameField("AuditEntry", "product", "variant"),
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
            verbose_name="product",
        ),
    ),
]


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0009_variant"),
        ("orders", "0005_owned"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[*VARIANT_OF_AN_ORDER, *VARIANT_OF_AN_AUDIT_ENTRY]
        ),
    ]
