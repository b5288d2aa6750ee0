"""Attempts to pay an order, refunds, and the events that providers send."""

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from orders.models import Order


class Attempt(models.Model):
    """One try to pay an order at a provider. The provider's answer decides its state, and each change
    is one locked transaction (`payments/transitions.py`)."""

    class State(models.TextChoices):
        CREATED = "created"  # the shopper was sent to the provider
        AUTHORISED = "authorised"  # the provider holds the money for us
        CAPTURING = "capturing"  # the hold does not expire until it is known how this ends
        CAPTURED = "captured"
        VOIDED = "voided"
        FAILED = "failed"
        UNKNOWN = "unknown"  # an answer was lost: the provider is asked
        REFUND_PENDING = "refund_pending"
        REFUNDED = "refunded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="attempts")
    provider = models.CharField(max_length=20)
    # The provider's name of the payment; "" until the provider has answered.
    reference = models.CharField(max_length=255, blank=True)
    url = models.URLField(max_length=2000, blank=True)  # where the shopper pays
    amount = models.PositiveBigIntegerField(help_text="in minor units of the currency")
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=14, choices=State.choices, default=State.CREATED)
    created_at = models.DateTimeField(default=timezone.now, db_default=Now())
    changed_at = models.DateTimeField(default=timezone.now, db_default=Now())  # its state
    # When the provider is asked next; None if nothing is open.
    due = models.DateTimeField(null=True, default=timezone.now, db_default=Now())
    tries = models.PositiveIntegerField(default=0, db_default=0)
    problem = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["due"], condition=Q(due__isnull=False), name="attempt_due"),
            models.Index(fields=["provider", "reference"], name="attempt_reference"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        *("created", "authorised", "capturing", "captured", "voided", "failed"),
                        *("unknown", "refund_pending", "refunded"),
                    ]
                ),
                name="attempt_state_known",
            ),
            # An order is paid once: a second payment is voided or refunded.
            models.UniqueConstraint(
                fields=["order"],
                condition=Q(state__in=["capturing", "captured"]),
                name="attempt_captures_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.reference or self.pk} {self.state}"


class Refund(models.Model):
    """The whole amount of an attempt on its way back."""

    class State(models.TextChoices):
        PENDING = "pending"
        FAILED = "failed"  # the provider refused it: staff have to look, and may try again
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    attempt = models.OneToOneField(Attempt, models.PROTECT, related_name="refund")
    amount = models.PositiveBigIntegerField(help_text="in minor units of the attempt's currency")
    reference = models.CharField(max_length=255, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_default=Now())
    done_at = models.DateTimeField(null=True)
    due = models.DateTimeField(null=True, default=timezone.now, db_default=Now())
    tries = models.PositiveIntegerField(default=0, db_default=0)
    problem = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        ordering = ["-created_at"]
        permissions = [("retry_refund", "Can try a failed refund again")]
        indexes = [models.Index(fields=["due"], condition=Q(due__isnull=False), name="refund_due")]

    def __str__(self) -> str:
        return f"refund of {self.attempt_id} {self.state}"


class ProviderEvent(models.Model):
    """A genuine event of a provider. It is a reason to ask, and believed in nothing else."""

    provider = models.CharField(max_length=20)
    event_id = models.CharField(max_length=255)
    kind = models.CharField(max_length=80, blank=True)
    reference = models.CharField(max_length=255, blank=True)
    # The attempt's id, where the provider repeats it: its reference may not be known here yet.
    key = models.CharField(max_length=80, blank=True, default="", db_default="")
    received_at = models.DateTimeField(default=timezone.now, db_default=Now())
    due = models.DateTimeField(null=True, default=timezone.now, db_default=Now())
    tries = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["due"], condition=Q(due__isnull=False), name="provider_event_due")
        ]
        constraints = [
            models.UniqueConstraint(fields=["provider", "event_id"], name="provider_event_once")
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.event_id}"


class DemoPayment(models.Model):
    """The books of the demo provider, as if it were another company: nothing but
    `payments/providers/demo.py` and its page read them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=80, unique=True, help_text="the idempotency key of its start")
    amount = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    title = models.CharField(max_length=200)
    back = models.URLField(max_length=500)
    language = models.CharField(max_length=10, blank=True, default="", help_text="of its page")
    state = models.CharField(max_length=10, default="open")
    captured = models.PositiveBigIntegerField(default=0, help_text="money that went to the shop")
    refunded = models.PositiveBigIntegerField(default=0, help_text="and came back")
    refund_key = models.CharField(max_length=80, blank=True, help_text="of the refund")
    # The second payment of a shopper who pays twice.
    twin = models.OneToOneField("self", models.PROTECT, null=True, related_name="first")
    created_at = models.DateTimeField(default=timezone.now, db_default=Now())
    # When it does what the shopper chose, where it dawdles.
    acts_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"demo payment {self.pk} {self.state}"
