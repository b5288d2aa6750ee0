"""Rename the model from Product to Variant. Tables and columns keep their names.

Processes of the last release go on during the upgrade (`docs/decisions/0018-product-and-variant.md`). They ask for the
permissions of `product`, so those stay. Groups and users that have one get that of `variant`.
"""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import inventory.models

ACTIONS = ("add", "change", "delete", "view")


def give_permissions(apps, schema_editor):
    Permission = apps.get_model("auth", "Permission")
    for action in ACTIONS:
        old = Permission.objects.filter(
            content_type__app_label="inventory", codename=f"{action}_product"
        ).first()
        if old is None:  # a new shop: Django makes them all after the migrations
            continue
        new, _ = Permission.objects.get_or_create(
            content_type=old.content_type,
            codename=f"{action}_variant",
            defaults={"name": old.name},
        )
        new.group_set.add(*old.group_set.all())
        new.user_set.add(*old.user_set.all())


def take_permissions(apps, schema_editor):
    codenames = [f"{action}_variant" for action in ACTIONS]
    Permission = apps.get_model("auth", "Permission")
    Permission.objects.filter(content_type__app_label="inventory", codename__in=codenames).delete()


VARIANT_OF_A_LISTING = [
    migrations.RemoveConstraint("Listing", "listing_once"),
    migrations.RemoveConstraint("Listing", "listing_in_one_unfinished_sale"),
    migrations.RemoveConstraint("Listing", "listing_windows_apart"),
    migrations.RenameField("Listing", "product", "variant"),
    migrations.AlterField(
        "Listing",
        "variant",
        models.ForeignKey(
            db_column="product_id",
            on_delete=django.db.models.deletion.PROTECT,
            related_name="listings",
            to="inventory.variant",
            verbose_name="product",
        ),
    ),
    migrations.AddConstraint(
        "Listing",
        models.UniqueConstraint(fields=("sale", "variant"), name="listing_once"),
    ),
    migrations.AddConstraint(
        "Listing",
        models.UniqueConstraint(
            condition=models.Q(("finished", False)),
            fields=("variant",),
            name="listing_in_one_unfinished_sale",
            violation_error_message="This product is in another sale that has not finished.",
        ),
    ),
    migrations.AddConstraint(
        "Listing",
        django.contrib.postgres.constraints.ExclusionConstraint(
            expressions=[
                ("variant", "="),
                (inventory.models._Window("opens_at", "closes_at"), "&&"),
            ],
            name="listing_windows_apart",
            violation_error_message="Another sale of this product has a window in this one.",
        ),
    ),
]
VARIANT_OF_A_MOVEMENT = [
    migrations.RemoveIndex("StockMovement", "movement_latest"),
    migrations.RenameField("StockMovement", "product", "variant"),
    migrations.AlterField(
        "StockMovement",
        "variant",
        models.ForeignKey(
            db_column="product_id",
            on_delete=django.db.models.deletion.PROTECT,
            related_name="movements",
            to="inventory.variant",
            verbose_name="product",
        ),
    ),
    migrations.AddIndex(
        "StockMovement",
        models.Index(fields=["variant", "-id"], name="movement_latest"),
    ),
]
VARIANTS_OF_A_SALE = [
    migrations.RenameField("Sale", "products", "variants"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("inventory", "0008_what_was_offered"),
        ("orders", "0005_owned"),
    ]

    operations = [
        migrations.AlterModelTable("Product", "inventory_product"),
        # Not only in the state: Django renames the content type with it.
        migrations.RenameModel("Product", "Variant"),
        migrations.AlterModelOptions(
            "Variant",
            {
                "ordering": ["sku"],
                "permissions": [("correct_stock", "Can correct stock")],
                "verbose_name": "product",
            },
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[*VARIANT_OF_A_LISTING, *VARIANT_OF_A_MOVEMENT, *VARIANTS_OF_A_SALE]
        ),
        migrations.RunPython(give_permissions, take_permissions),
    ]
