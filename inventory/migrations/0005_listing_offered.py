from django.db import migrations, models


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
    ]
