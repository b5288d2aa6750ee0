"""Orders, the final answers to purchases, with their news and parcels."""

from typing import TypeAlias

from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now
from django.utils import timezone

from flashsale.characters import join_isolated
from inventory.models import Sale, Variant
from orders.audit_models import AuditEntry as AuditEntry
from orders.draw_models import Draw as Draw
from orders.draw_models import Lot as Lot
from orders.order_status import OWNING
from orders.order_status import Status as OrderStatus
from orders.reference import reference


class Order(models.Model):
    """The decision on a purchase: confirmed, rejected, or held for its checkout.

    The primary key is the purchase id, so PostgreSQL refuses a second answer. A trigger
    (`orders/migrations/0014_waiting.py`) allows only the arrows of `orders/order_status.py`, and no
    deletion.
    """

    Status: TypeAlias = OrderStatus

    class Reason(models.TextChoices):
        NONE = ""
        SOLD_OUT = "sold_out"
        LIMIT = "limit"
        CHANGED = "changed"  # the variant was changed between the click and the decision
        SIGN_IN = "sign_in"  # the sale asks for a verified e-mail address
        NO_CODE = "no_code"  # or for an access code, and the shopper has none
        ERROR = "error"
        NOT_DRAWN = "not_drawn"
        SET_ASIDE = "set_aside"  # cancelled by staff before the draw

    id = models.UUIDField(primary_key=True, editable=False)
    # One foreign key to the listing (`orders/migrations/0002_rules.py`) proves that sale and
    # variant exist. With a constraint each, PostgreSQL would look up two more rows for every order.
    sale = models.ForeignKey(
        Sale, models.PROTECT, related_name="orders", db_index=False, db_constraint=False
    )
    # None only for a poison entry: one that names no variant of the sale, or that PostgreSQL
    # refused.
    variant = models.ForeignKey(
        Variant,
        models.PROTECT,
        related_name="orders",
        null=True,
        db_constraint=False,
        db_column="product_id",
    )
    # The product as it was called then: the catalogue changes, the order does not. Empty
    # without a variant. A trigger fills them for processes of the last release
    # (`orders/migrations/0009_what_was_bought.py`).
    product_name = models.CharField(max_length=120, blank=True, db_default="")
    option = models.CharField(max_length=40, blank=True, db_default="")
    sku = models.CharField(max_length=40, blank=True, db_default="")
    shopper = models.UUIDField()
    quantity = models.PositiveIntegerField()
    # Units that the order takes from stock: the one sum for stock, limits and reconciliation.
    # PostgreSQL computes it, so it is right under raw SQL and with processes of the last release
    # too.
    owned = models.GeneratedField(
        expression=Case(When(status__in=OWNING, then=F("quantity")), default=0),
        output_field=models.PositiveIntegerField(),
        db_persist=True,
    )
    unit_price = models.PositiveIntegerField(help_text="in minor units of the currency")
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=9, choices=OrderStatus.choices)
    reason = models.CharField(max_length=9, choices=Reason.choices, blank=True)
    # The rank of a draw, or the order of arrival on standby. None: it never waited, or was not drawn yet.
    place = models.PositiveBigIntegerField(null=True, editable=False)
    # The end of the last hold, by PostgreSQL's clock. Expiry grants a little more: `orders/holds.py`.
    hold_until = models.DateTimeField(null=True, editable=False)
    # A payment of it is being captured, so its hold does not expire: `orders/holds.py`.
    capturing = models.BooleanField(default=False, db_default=False, editable=False)
    # The network of the click as a keyed hash, in a sale with a hold, until it is erased:
    # `orders/networks.py`.
    network = models.CharField(max_length=16, blank=True, db_default="", editable=False)
    # The sale's version at the order's last change: replication selects the orders above the gate's
    # version.
    version = models.PositiveBigIntegerField()
    accepted_at = models.DateTimeField(help_text="when the gate accepted it, by Redis' clock")
    settled_at = models.DateTimeField()

    class Meta:
        ordering = ["-settled_at"]
        indexes = [
            # For replication: the orders above the gate's version. The name is historical.
            models.Index(fields=["sale", "version"], name="order_told"),
            models.Index(fields=["shopper", "sale"], name="order_of_shopper"),
            # Poison entries: hardly any exist, and the dashboard queries them every second.
            models.Index(fields=["sale"], condition=Q(reason="error"), name="order_poison"),
            # The holds that may have to expire.
            models.Index(fields=["hold_until"], condition=Q(status="held"), name="order_due"),
            # Expired holds of a network, and the networks that are to be erased. Not held orders, so that
            # settlement is spared this index.
            models.Index(
                fields=["sale", "network", "status"],
                condition=~Q(network="") & ~Q(status="held"),
                name="order_of_network",
            ),
            # Who is next, and how many wait before.
            models.Index(
                fields=["sale", "variant", "place"],
                condition=Q(status="waiting"),
                name="order_waiting",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=OrderStatus.values),
                name="order_status_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    status="rejected",
                    reason__in=[
                        "sold_out",
                        "limit",
                        "changed",
                        "sign_in",
                        "no_code",
                        "error",
                        "not_drawn",
                    ],
                )
                | Q(status="cancelled", reason="set_aside")
                | (~Q(status="rejected") & Q(reason="")),
                name="order_reason_iff_rejected",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["held", "expired"]) | Q(hold_until__isnull=False),
                name="order_hold_ends",
            ),
            models.CheckConstraint(
                condition=Q(capturing=False) | Q(status="held"), name="order_captures_while_held"
            ),
            models.CheckConstraint(
                condition=Q(quantity__gte=1) | Q(reason="error"), name="order_quantity_positive"
            ),
            models.CheckConstraint(
                condition=Q(variant__isnull=False) | Q(reason="error"), name="order_has_product"
            ),
            models.CheckConstraint(
                condition=Q(variant__isnull=True) | ~Q(sku=""), name="order_names_its_product"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.status}"

    @property
    def reference(self) -> str:
        """The short reference that shoppers read out: see `orders/reference.py`."""
        return reference(self.pk)

    @property
    def bought(self) -> str:
        """The product's name with its option, as they were; "" without a variant."""
        return join_isolated(self.product_name, self.option)

    @property
    def total(self) -> int:
        """The price of all units, in minor units of the currency."""
        return self.unit_price * self.quantity

    def may_become(self, other: OrderStatus) -> bool:
        """Whether there is an arrow to `other`: see `orders/order_status.py`."""
        return OrderStatus(self.status).may_become(other)


class OutboxRow(models.Model):
    """News of an order for one consumer: written in the transaction that it tells of
    (`orders/outbox.py`), done by its consumer afterwards."""

    class Consumer(models.TextChoices):
        MAIL = "mail"
        REFUND = "refund"

    class Event(models.TextChoices):
        DRAWN = "drawn"  # a draw gave it a hold
        SERVED = "served"  # standby gave it a hold
        SECURED = "secured"  # the contact is known: yours until a time
        EXPIRING = "expiring"
        EXPIRED = "expired"
        CONFIRMED = "confirmed"
        CANCELLED = "cancelled"
        REFUNDED = "refunded"
        SHIPPED = "shipped"
        FOUND = "found"  # the links of a person's orders were asked for

    class Outcome(models.TextChoices):
        PENDING = ""
        DONE = "done"
        NOT_NEEDED = "unneeded"
        FAILED = "failed"  # given up: `problem` says why

    consumer = models.CharField(max_length=8, choices=Consumer.choices)
    event = models.CharField(max_length=9, choices=Event.choices)
    order = models.ForeignKey(Order, models.PROTECT, related_name="outbox")
    # What makes it another event of the same order: the end of the hold, the parcel's link.
    detail = models.CharField(max_length=200, blank=True, default="")
    at = models.DateTimeField(auto_now_add=True, db_default=Now())
    # None when it is done.
    due = models.DateTimeField(null=True, default=timezone.now, db_default=Now())
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    outcome = models.CharField(
        max_length=8, choices=Outcome.choices, blank=True, default=Outcome.PENDING, db_default=""
    )
    problem = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["consumer", "due"], condition=Q(due__isnull=False), name="outbox_due"
            ),
            models.Index(fields=["at"], condition=Q(outcome="failed"), name="outbox_failed"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["order", "consumer", "event", "detail"], name="outbox_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.consumer}: {self.order_id} {self.event}"


class Shipment(models.Model):
    """The parcel of a confirmed order."""

    order = models.OneToOneField(Order, models.PROTECT, primary_key=True, related_name="shipment")
    carrier = models.CharField(max_length=60, blank=True)
    tracking_number = models.CharField(max_length=60, blank=True)
    tracking_url = models.URLField(max_length=500, blank=True)
    shipped_at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=150)

    class Meta:
        ordering = ["shipped_at"]

    def __str__(self) -> str:
        return f"{self.order_id} shipped"
