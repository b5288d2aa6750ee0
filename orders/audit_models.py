"""The audit of changes by people."""

from django.db import models
from django.db.models import Q

from inventory.models import Sale, Variant
from inventory.products import Product


class AuditEntry(models.Model):
    """A row of the audit: a change of a sale, variant or order by a person. Append-only, by a
    trigger."""

    class Action(models.TextChoices):
        CREATED = "created"
        EDITED = "edited"
        DELETED = "deleted"
        SCHEDULED = "scheduled"
        OPENED = "opened"
        PAUSED = "paused"
        RESUMED = "resumed"
        ENDED = "ended"
        WINDOW = "window", "Window changed"
        LIMIT = "limit", "Limit changed"
        HOLD = "hold", "Hold changed"
        RESTOCKED = "restocked"
        CORRECTED = "corrected", "Stock corrected"
        CANCELLED = "cancelled", "Order cancelled"
        SHIPPED = "shipped", "Order shipped"
        LOOKED = "looked", "Contact looked at"
        EXPORTED = "exported", "Contacts exported"
        ERASED = "erased", "Contact erased"
        REFUND = "refund", "Refund tried again"
        ASIDE = "aside", "Entry set aside"
        STANDBY = "standby", "Standby changed"

    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=9, choices=Action.choices)
    subject = models.CharField(max_length=120, help_text="a slug, a sku or an order's reference")
    # The subject, as far as it applies. No constraints: a draft may be deleted, its audit stays.
    sale = models.ForeignKey(
        Sale, models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="audit"
    )
    variant = models.ForeignKey(
        Variant,
        models.DO_NOTHING,
        related_name="audit",
        null=True,
        blank=True,
        db_constraint=False,
        db_column="product_id",
    )
    product = models.ForeignKey(
        Product,
        models.DO_NOTHING,
        related_name="audit",
        null=True,
        blank=True,
        db_constraint=False,
        db_column="catalogue_product_id",
    )
    order = models.UUIDField(null=True, blank=True)
    before = models.JSONField(help_text="what the action changed, as it was")
    after = models.JSONField()
    reason = models.CharField(max_length=200, blank=True)
    # The key of the form: a form that is sent twice is carried out once.
    key = models.UUIDField(null=True, blank=True, unique=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit"
        indexes = [
            models.Index(fields=["order"], condition=Q(order__isnull=False), name="audit_of_order"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} by {self.actor}"
