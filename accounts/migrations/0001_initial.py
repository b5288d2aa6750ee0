"""Contacts, apart from orders."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Contact",
            fields=[
                ("order", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("sale", models.PositiveBigIntegerField(editable=False)),
                ("email_key", models.CharField(blank=True, editable=False, max_length=64)),
                ("sealed", models.TextField(blank=True, editable=False)),
                ("language", models.CharField(editable=False, max_length=10)),
                ("terms_accepted_at", models.DateTimeField(editable=False, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("changed_at", models.DateTimeField(auto_now=True)),
                ("erased_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["email_key"], name="contact_of_email"),
                    models.Index(fields=["sale"], name="contact_of_sale"),
                ],
            },
        ),
    ]
