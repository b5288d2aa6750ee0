import django.db.models.functions.text
from django.db import migrations, models

import inventory.names

_WAITS = "SET LOCAL lock_timeout = '5s'"  # building the indexes takes milliseconds, waiting for the lock may not

# A shop that has such names keeps them, and sells on: all but the first of each group stay out of the index. The
# first one refuses others.
_CLASHING = """
SELECT id FROM {table} AS later WHERE EXISTS (
    SELECT FROM {table} AS first WHERE lower(first.{name}) = lower(later.{name}) AND first.id < later.id
) ORDER BY id
"""


def _make_unique(table, name, index):
    def make_unique(apps, schema_editor):
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(_WAITS)
            cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            cursor.execute(_CLASHING.format(table=table, name=name))
            clashing = ", ".join(str(row) for (row,) in cursor.fetchall())
            but = f" WHERE id NOT IN ({clashing})" if clashing else ""
            cursor.execute(f"CREATE UNIQUE INDEX {index} ON {table} (lower({name})){but}")

    def drop(apps, schema_editor):
        schema_editor.execute(f"DROP INDEX {index}")

    return migrations.RunPython(make_unique, drop)


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0009_variant"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            [
                _make_unique("inventory_product", "sku", "product_sku_any_case"),
                _make_unique("inventory_sale", "slug", "sale_slug_any_case"),
            ],
            [
                # Their rules are for typed texts: PostgreSQL stores the same columns as before.
                migrations.AlterField(
                    model_name="variant",
                    name="description",
                    field=inventory.names.TextField(blank=True),
                ),
                migrations.AlterField(
                    model_name="variant",
                    name="name",
                    field=inventory.names.LineField(max_length=120),
                ),
                migrations.AlterField(
                    model_name="variant",
                    name="option",
                    field=inventory.names.LineField(
                        blank=True, help_text="what tells it apart: a size", max_length=40
                    ),
                ),
                migrations.AlterField(
                    model_name="variant",
                    name="picture_text",
                    field=inventory.names.LineField(
                        blank=True, max_length=200, verbose_name="alternative text"
                    ),
                ),
                migrations.AlterField(
                    model_name="sale",
                    name="name",
                    field=inventory.names.LineField(max_length=120),
                ),
                migrations.AddConstraint(
                    model_name="variant",
                    constraint=models.UniqueConstraint(
                        django.db.models.functions.text.Lower("sku"),
                        name="product_sku_any_case",
                        violation_error_message="Another product has this sku; capital letters make no difference.",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="sale",
                    constraint=models.UniqueConstraint(
                        django.db.models.functions.text.Lower("slug"),
                        name="sale_slug_any_case",
                        violation_error_message="Another sale has this slug; capital letters make no difference.",
                    ),
                ),
            ],
        ),
    ]
