"""A draw and its lots: what makes it checkable by outsiders. `docs/draw.md` specifies it."""

from django.db import models

from inventory.models import Sale


class Draw(models.Model):
    """The draw of a sale: its commitment, and all that is published of it later.

    How far it is, `Sale.draw` says. Bytes are in hex, "" until they are known.
    """

    class Beacon(models.TextChoices):
        NONE = ""
        QUICKNET = "quicknet"  # of drand

    sale = models.OneToOneField(Sale, models.PROTECT, primary_key=True, related_name="lottery")
    commitment = models.CharField(max_length=64)  # SHA-256 of the seed
    sealed_seed = models.TextField(editable=False)  # encrypted: `orders/draws/seed.py`
    seed = models.CharField(max_length=64, blank=True)
    beacon = models.CharField(max_length=12, choices=Beacon.choices, blank=True)
    round = models.PositiveBigIntegerField(null=True)
    signature = models.CharField(max_length=192, blank=True)  # of the round
    root = models.CharField(max_length=64, blank=True)
    entries = models.PositiveIntegerField(null=True)
    stock = models.JSONField(default=dict)  # units by sku, at the freeze
    allotted = models.PositiveIntegerField(
        default=0
    )  # the highest decided rank; `entries`: all are
    left = models.JSONField(default=dict)  # what later ranks can get of `stock`
    scheduled_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True)
    drawn_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"draw of {self.sale_id}"


class Lot(models.Model):
    """An entry as it was when the draw was frozen: a line of the published file."""

    # Without constraints: lots are made from orders of that sale, which are never deleted. PostgreSQL would
    # check and lock each of a million.
    order = models.OneToOneField(
        "orders.Order", models.PROTECT, primary_key=True, related_name="lot", db_constraint=False
    )
    sale = models.ForeignKey(Sale, models.PROTECT, db_constraint=False, db_index=False)
    leaf = models.PositiveIntegerField()  # its index in the tree, by order id
    sku = models.CharField(max_length=40)
    quantity = models.PositiveIntegerField()
    set_aside = models.BooleanField(default=False)
    rank = models.PositiveIntegerField(
        null=True
    )  # 1 is the first; None: set aside, or not drawn yet

    class Meta:
        # None on the rank, and half of each page is left free (migration 0014): so PostgreSQL writes the
        # ranks of a million lots without touching an index, in half the time.
        constraints = [
            models.UniqueConstraint(fields=["sale", "leaf"], name="lot_leaf"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} at {self.leaf}"
