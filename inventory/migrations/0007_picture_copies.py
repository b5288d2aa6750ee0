"""Store smaller copies and sizes of the existing pictures.

Separate from the migration that adds the columns, and not in one transaction: the product table would stay locked
during the writes to the storage. It may be interrupted and run again.
"""

from contextlib import suppress

from django.db import migrations

from inventory.pictures import store_copies


def make_copies(apps, schema_editor):
    products = apps.get_model("inventory", "Product").objects.filter(picture_width=None)
    for product in products.exclude(picture=""):
        picture = product.picture
        # A file that is missing or not a picture left a gap on the page before, and still does.
        with suppress(OSError), picture.storage.open(picture.name) as stored:
            width, height = store_copies(picture.storage, picture.name, stored)
            products.filter(pk=product.pk).update(picture_width=width, picture_height=height)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("inventory", "0006_picture_sizes"),
    ]

    operations = [
        migrations.RunPython(make_copies, migrations.RunPython.noop),
    ]
