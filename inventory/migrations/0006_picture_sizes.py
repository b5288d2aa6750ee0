from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0005_listing_offered"),
    ]

    operations = [
        migrations.AddField(
            model_name="product",
            name="picture_width",
            field=models.PositiveIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="product",
            name="picture_height",
            field=models.PositiveIntegerField(editable=False, null=True),
        ),
    ]
