"""Attempts to pay, refunds, events of providers, and the demo provider's own books."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("orders", "0012_outbox"),
    ]

    operations = [
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("provider", models.CharField(max_length=20)),
                ("reference", models.CharField(blank=True, max_length=255)),
                ("url", models.URLField(blank=True, max_length=2000)),
                (
                    "amount",
                    models.PositiveBigIntegerField(help_text="in minor units of the currency"),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("created", "Created"),
                            ("authorised", "Authorised"),
                            ("capturing", "Capturing"),
                            ("captured", "Captured"),
                            ("voided", "Voided"),
                            ("failed", "Failed"),
                            ("unknown", "Unknown"),
                            ("refund_pending", "Refund Pending"),
                            ("refunded", "Refunded"),
                        ],
                        default="created",
                        max_length=14,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        default=django.utils.timezone.now,
                    ),
                ),
                (
                    "changed_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        default=django.utils.timezone.now,
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
                ("tries", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "problem",
                    models.CharField(blank=True, db_default="", default="", max_length=200),
                ),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attempts",
                        to="orders.order",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="DemoPayment",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="the idempotency key of its start", max_length=80, unique=True
                    ),
                ),
                ("amount", models.PositiveBigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("title", models.CharField(max_length=200)),
                ("back", models.URLField(max_length=500)),
                (
                    "language",
                    models.CharField(
                        blank=True, default="", help_text="of its page", max_length=10
                    ),
                ),
                ("state", models.CharField(default="open", max_length=10)),
                (
                    "captured",
                    models.PositiveBigIntegerField(
                        default=0, help_text="money that went to the shop"
                    ),
                ),
                (
                    "refunded",
                    models.PositiveBigIntegerField(default=0, help_text="and came back"),
                ),
                (
                    "refund_key",
                    models.CharField(blank=True, help_text="of the refund", max_length=80),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        default=django.utils.timezone.now,
                    ),
                ),
                ("acts_at", models.DateTimeField(null=True)),
                (
                    "twin",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="first",
                        to="payments.demopayment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProviderEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=20)),
                ("event_id", models.CharField(max_length=255)),
                ("kind", models.CharField(blank=True, max_length=80)),
                ("reference", models.CharField(blank=True, max_length=255)),
                ("key", models.CharField(blank=True, db_default="", default="", max_length=80)),
                (
                    "received_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        default=django.utils.timezone.now,
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
                ("tries", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "ordering": ["-received_at"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("due__isnull", False)),
                        fields=["due"],
                        name="provider_event_due",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("provider", "event_id"), name="provider_event_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "amount",
                    models.PositiveBigIntegerField(
                        help_text="in minor units of the attempt's currency"
                    ),
                ),
                ("reference", models.CharField(blank=True, max_length=255)),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("failed", "Failed"), ("done", "Done")],
                        default="pending",
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        default=django.utils.timezone.now,
                    ),
                ),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "due",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        default=django.utils.timezone.now,
                        null=True,
                    ),
                ),
                ("tries", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "problem",
                    models.CharField(blank=True, db_default="", default="", max_length=200),
                ),
                (
                    "attempt",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refund",
                        to="payments.attempt",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
                "permissions": [("retry_refund", "Can try a failed refund again")],
            },
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("due__isnull", False)), fields=["due"], name="attempt_due"
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(fields=["provider", "reference"], name="attempt_reference"),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "created",
                            "authorised",
                            "capturing",
                            "captured",
                            "voided",
                            "failed",
                            "unknown",
                            "refund_pending",
                            "refunded",
                        ],
                    )
                ),
                name="attempt_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["capturing", "captured"])),
                fields=("order",),
                name="attempt_captures_once",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("due__isnull", False)), fields=["due"], name="refund_due"
            ),
        ),
    ]
