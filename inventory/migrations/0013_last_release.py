"""Take what moved to products out of the model of variants. The columns stay for processes of the last release."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inventory", "0012_fill_products")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint("Variant", "product_picture_has_text"),
                *(
                    migrations.RemoveField("Variant", name)
                    for name in (
                        *("description", "picture", "picture_text"),
                        *("picture_width", "picture_height"),
                    )
                ),
            ]
        ),
    ]
