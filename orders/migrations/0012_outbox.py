"""What is told of an order, and its parcel. New tables only: the last release goes on."""

import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0011_holds"),
    ]

    operations = [
        migrations.CreateModel(
            name="Shipment",
            fields=[
                (
                    "order",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="shipment",
                        serialize=False,
                        to="orders.order",
                    ),
                ),
                ("carrier", models.CharField(blank=True, max_length=60)),
                ("tracking_number", models.CharField(blank=True, max_length=60)),
                ("tracking_url", models.URLField(blank=True, max_length=500)),
                ("shipped_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("by", models.CharField(max_length=150)),
            ],
            options={
                "ordering": ["shipped_at"],
            },
        ),
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "consumer",
                    models.CharField(
                        choices=[("mail", "Mail"), ("refund", "Refund")], max_length=8
                    ),
                ),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("secured", "Secured"),
                            ("expiring", "Expiring"),
                            ("expired", "Expired"),
                            ("confirmed", "Confirmed"),
                            ("cancelled", "Cancelled"),
                            ("refunded", "Refunded"),
                            ("shipped", "Shipped"),
                            ("found", "Found"),
                        ],
                        max_length=9,
                    ),
                ),
                ("detail", models.CharField(blank=True, default="", max_length=200)),
                (
                    "at",
                    models.DateTimeField(
                        auto_now_add=True, db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                (
                    "due",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        default=django.utils.timezone.now,
                        null=True,
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(db_default=0, default=0)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Pending"),
                            ("done", "Done"),
                            ("unneeded", "Not Needed"),
                            ("failed", "Failed"),
                        ],
                        db_default="",
                        default="",
                        max_length=8,
                    ),
                ),
                (
                    "problem",
                    models.CharField(blank=True, db_default="", default="", max_length=200),
                ),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="outbox",
                        to="orders.order",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("due__isnull", False)),
                        fields=["consumer", "due"],
                        name="outbox_due",
                    ),
                    models.Index(
                        condition=models.Q(("outcome", "failed")),
                        fields=["at"],
                        name="outbox_failed",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("order", "consumer", "event", "detail"), name="outbox_once"
                    )
                ],
            },
        ),
    ]
