"""The catalogue, sales and the stock ledger.

PostgreSQL enforces their rules, under raw SQL too: `inventory/migrations/0002_rules.py` has those
that a model cannot express. One file: a listing's rules are tied to those of its sale and its variant.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Lower
from django.utils import timezone

from flashsale.characters import isolate, join_isolated
from inventory.names import LineField, TextField, WithSku
from inventory.products import Product

MOST_MINUTES = 7 * 24 * 60  # of a hold
MOST_CONTACT_DAYS = 3650
MOST_OF_TERMS = 20_000  # characters
MOST_UNITS = 10_000  # in one click, and so the greatest limit per shopper


@cache
def time_zones() -> frozenset[str]:
    """The zones of the IANA database, which mean the same on every machine."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def valid_time_zone(name: str) -> None:
    """Raises ValidationError unless `name` is one of `time_zones`."""
    if name not in time_zones():
        raise ValidationError("No such time zone.")


def known_provider(name: str) -> None:
    """Raises ValidationError unless `name` is empty or a provider that this shop is configured for."""
    if name and name not in settings.PAYMENT_PROVIDERS:
        known = ", ".join(settings.PAYMENT_PROVIDERS) or "none"
        raise ValidationError(f"No such payment provider; configured: {known}.")


# Outside these years some time zones cannot show a time, and psycopg cannot read some values.
_YEARS = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def sensible_moment(moment: datetime) -> None:
    """Raises ValidationError for a time outside _YEARS: it is a typing error."""
    if not _YEARS[0] <= moment < _YEARS[1]:
        raise ValidationError("The year must be from 2000 to 2999.")


class Variant(WithSku):
    """Units of one kind, with a price and a stock. Each size of a shoe is a variant of its product.

    Its table, and the columns that refer to it, have the names of the last release, whose processes
    go on during an upgrade; a later release renames them (`docs/decisions/0018-product-and-variant.md`).
    Raw SQL uses the names of tables and columns.
    """

    sku = models.CharField(
        max_length=40, unique=True, validators=[RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
    )
    # Optional for processes of the last release, which insert variants without one: a trigger makes
    # a product for each (`inventory/migrations/0011_product.py`).
    product = models.ForeignKey(
        Product,
        models.CASCADE,
        null=True,
        related_name="variants",
        db_column="catalogue_product_id",
    )
    position = models.PositiveSmallIntegerField(default=0, db_default=0)  # in its product
    # The product's, kept the same by triggers: settlement reads it from the row that it locks.
    name = LineField(max_length=120, blank=True, db_default="", editable=False)
    option = LineField(max_length=40, blank=True, help_text="what tells it apart: a size")
    price = models.PositiveIntegerField(help_text="in minor units of the currency")
    currency = models.CharField(max_length=3, validators=[RegexValidator(r"\A[A-Z]{3}\Z")])
    stock = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        db_table = "inventory_product"
        ordering = ["sku"]
        permissions = [("correct_stock", "Can correct stock")]
        constraints = [
            models.CheckConstraint(condition=Q(stock__gte=0), name="product_stock_not_negative"),
            models.CheckConstraint(
                condition=Q(sku__regex=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), name="product_sku_plain"
            ),
            # People and label printers take skus that differ by case only for one.
            models.UniqueConstraint(
                Lower("sku"),
                name="product_sku_any_case",
                violation_error_message="Another product has this sku; capital letters make no difference.",
            ),
            models.CheckConstraint(
                condition=Q(currency__regex="^[A-Z]{3}$"), name="product_currency_code"
            ),
        ]

    def __str__(self) -> str:
        return join_isolated(self.name, self.option)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.product and not self.pk:
            self.name = self.product.name
        super().save(*args, **kwargs)


class Sale(models.Model):
    """A window of time in which some variants can be bought, under a limit per shopper."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        LIVE = "live"
        PAUSED = "paused"
        ENDED = "ended"

    class Ask(models.TextChoices):
        NOTHING = "", "nothing"
        EMAIL = "email", "e-mail"
        ADDRESS = "address", "e-mail and postal address"

    class Draw(models.TextChoices):
        """How far the draw is. It moves forward only: see `orders/draws/`."""

        NONE = "", "by arrival"
        OPEN = "open"  # every click is, or will be, an entry
        CLOSED = "closed"  # no more entries; the line drains
        FROZEN = "frozen"  # the entries are written down, and get their outcomes
        DONE = "done"
        OFF = "off"  # the sale was ended before

    class Entrants(models.TextChoices):
        ANYONE = "", "anyone"
        EMAIL = "email", "people with a verified e-mail address"
        CODE = "code", "people with an access code"

    slug = models.SlugField(max_length=60, unique=True)
    name = LineField(max_length=120)
    opens_at = models.DateTimeField(validators=[sensible_moment])
    closes_at = models.DateTimeField(validators=[sensible_moment])
    time_zone = models.CharField(max_length=64, default="UTC", validators=[valid_time_zone])
    status = models.CharField(max_length=6, choices=Status.choices, default=Status.DRAFT)
    limit = models.PositiveIntegerField(
        default=1, help_text="units per shopper", validators=[MaxValueValidator(MOST_UNITS)]
    )
    # 0: an order is confirmed at once.
    hold_minutes = models.PositiveSmallIntegerField(
        "hold",
        default=0,
        db_default=0,
        help_text="minutes for which units are held while the shopper checks out; 0: sold at once",
        validators=[MaxValueValidator(MOST_MINUTES)],
    )
    ask = models.CharField(
        max_length=8,
        choices=Ask.choices,
        blank=True,
        default=Ask.NOTHING,
        db_default=Ask.NOTHING,
        help_text="asked at the checkout",
    )
    # The name of a provider in `settings.PAYMENT_PROVIDERS`.
    payment = models.CharField(
        max_length=20,
        blank=True,
        default="",
        db_default="",
        help_text="the payment provider; empty: nothing is paid here",
        validators=[known_provider],
    )
    terms = TextField(
        max_length=MOST_OF_TERMS,
        blank=True,
        default="",
        db_default="",
        help_text="in Markdown; the shopper accepts them at the checkout",
        validators=[MaxLengthValidator(MOST_OF_TERMS)],
    )
    price_note = LineField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="beside the total, such as: incl. 19 % VAT, free shipping",
    )
    contact_days = models.PositiveSmallIntegerField(
        "contacts kept",
        default=180,
        db_default=180,
        help_text="days after the end until names and addresses are erased; 0: never",
        validators=[MaxValueValidator(MOST_CONTACT_DAYS)],
    )
    draw_at = models.DateTimeField(
        "draw",
        null=True,
        blank=True,
        help_text="until then every click is an entry, and lots decide; empty: first come, first served",
        validators=[sensible_moment],
    )
    draw = models.CharField(
        max_length=6,
        choices=Draw.choices,
        default=Draw.NONE,
        db_default=Draw.NONE,
        blank=True,
        editable=False,
    )
    standby = models.BooleanField(
        default=False,
        db_default=False,
        help_text="who comes too late waits in order, and gets what comes back",
    )
    entrants = models.CharField(
        "who may buy",
        max_length=5,
        choices=Entrants.choices,
        default=Entrants.ANYONE,
        db_default=Entrants.ANYONE,
        blank=True,
    )
    per_address = models.PositiveIntegerField(
        "per network",
        default=0,
        db_default=0,
        help_text="units, or entries of a draw, from one network; 0: no bound",
    )
    greatest_limit = models.PositiveIntegerField(default=1, editable=False)
    # Counts the changes of the sale: each transaction that changes it, its stock or its orders
    # raises it by one. Replication uses it as position: the gate stores the version that it has,
    # and gets the changes after it.
    version = models.PositiveBigIntegerField(default=1, editable=False)
    # Orders that are confirmed and held, counted with each batch, so that the dashboard need not
    # count millions.
    confirmed = models.PositiveIntegerField(default=0, editable=False)
    held = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # Waiting orders by sku, in a draw or on standby, counted likewise. A sku without any is left out.
    waiting = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), editable=False
    )
    # Fencing token: the epoch of the gate that PostgreSQL trusts, random and new whenever Redis was
    # restarted, replaced or restored. Settlement only decides a line that was read in this epoch,
    # so a line read from a gate that has been replaced since decides nothing. See
    # `orders/replication.py`.
    epoch = models.CharField(max_length=32, blank=True, editable=False)
    # Ended, line empty, gate removed: its variants may go into another sale.
    finished = models.BooleanField(default=False, editable=False)
    variants = models.ManyToManyField(Variant, through="Listing", related_name="sales")

    class Meta:
        ordering = ["opens_at", "id"]
        permissions = [
            ("watch_sales", "Can look at the dashboard"),
            ("run_sales", "Can run sales: open, pause, end, restock, cancel orders"),
        ]
        constraints = [
            models.UniqueConstraint(
                Lower("slug"),
                name="sale_slug_any_case",
                violation_error_message="Another sale has this slug; capital letters make no difference.",
            ),
            models.CheckConstraint(
                condition=Q(opens_at__lt=F("closes_at")), name="sale_window_in_order"
            ),
            models.CheckConstraint(
                condition=Q(opens_at__gte=_YEARS[0], closes_at__lt=_YEARS[1]),
                name="sale_window_sensible",
            ),
            models.CheckConstraint(condition=Q(limit__gte=1), name="sale_limit_positive"),
            models.CheckConstraint(
                condition=Q(greatest_limit__gte=F("limit")), name="sale_greatest_limit"
            ),
            models.CheckConstraint(
                condition=Q(hold_minutes__lte=MOST_MINUTES), name="sale_hold_sensible"
            ),
            models.CheckConstraint(
                condition=Q(ask__in=["", "email", "address"]), name="sale_ask_known"
            ),
            models.CheckConstraint(
                condition=Q(hold_minutes__gte=1) | Q(ask="", payment="", terms=""),
                name="sale_checkout_needs_hold",
                violation_error_message="What is asked or paid at a checkout needs a hold of some minutes.",
            ),
            models.CheckConstraint(
                condition=Q(contact_days__lte=MOST_CONTACT_DAYS), name="sale_contact_days_sensible"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "live", "paused", "ended"]),
                name="sale_status_known",
            ),
            models.CheckConstraint(
                condition=Q(draw="", draw_at=None)
                | Q(
                    draw__in=["open", "closed", "frozen", "done"],
                    draw_at__gt=F("opens_at"),
                    draw_at__lte=F("closes_at"),
                )
                | Q(draw="off", draw_at__isnull=False),
                name="sale_draw_in_window",
                violation_error_message="The draw must be after the opening, and not after the close.",
            ),
            models.CheckConstraint(
                condition=Q(entrants__in=["", "email", "code"]), name="sale_entrants_known"
            ),
            # The target of a listing's foreign key, by which its copy of the window follows the
            # sale's.
            models.UniqueConstraint(
                fields=["id", "opens_at", "closes_at", "finished"], name="sale_window"
            ),
        ]

    def __str__(self) -> str:
        return isolate(self.name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.greatest_limit = max(self.greatest_limit, self.limit)
        if self.draw_at is None or not self.draw:
            self.draw = self.Draw.OPEN if self.draw_at else self.Draw.NONE
        super().save(*args, **kwargs)

    @property
    def has_checkout(self) -> bool:
        """Whether an order is held first, and confirmed by its checkout."""
        return self.hold_minutes > 0

    @property
    def takes_lots(self) -> bool:
        """Whether accepted entries wait for lots, which give them their places."""
        return self.draw in (self.Draw.OPEN, self.Draw.CLOSED)

    @property
    def awaits_draw(self) -> bool:
        """Whether nothing is sold yet, because a draw decides."""
        return self.draw in (self.Draw.OPEN, self.Draw.CLOSED, self.Draw.FROZEN)

    def ended(self, now: datetime | None = None) -> bool:
        """Whether the sale has ended, by its status or by the clock."""
        return self.status == self.Status.ENDED or self.closes_at <= (now or timezone.now())

    def phase(self, now: datetime) -> str:
        """The phase that shoppers see at `now`: upcoming, open, paused or ended; draft, which they
        do not see."""
        if self.status == self.Status.DRAFT:
            return "draft"
        if self.ended(now):
            return "ended"
        if now < self.opens_at:
            return "upcoming"
        return "paused" if self.status == self.Status.PAUSED else "open"

    def state(self, now: datetime) -> str:
        """The phase for staff: "upcoming, paused" warns that a sale will not open by itself."""
        phase, paused = self.phase(now), self.status == self.Status.PAUSED
        return "upcoming, paused" if phase == "upcoming" and paused else phase


class _Window(models.Func):
    function = "tstzrange"
    output_field = DateTimeRangeField()


class Listing(models.Model):
    """A variant in a sale. A foreign key keeps the copy of the window equal to the sale's, so that
    a constraint can refuse one variant in two sales at once."""

    sale = models.ForeignKey(Sale, models.CASCADE, related_name="listings")
    variant = models.ForeignKey(
        Variant,
        models.PROTECT,
        related_name="listings",
        db_column="product_id",
    )
    position = models.PositiveSmallIntegerField(default=0)
    # Units that this sale has offered so far: the full length of the bar beside "12 left".
    offered = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    opens_at = models.DateTimeField(editable=False)
    closes_at = models.DateTimeField(editable=False)
    finished = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["sale", "variant"], name="listing_once"),
            models.UniqueConstraint(
                fields=["variant"],
                condition=Q(finished=False),
                name="listing_in_one_unfinished_sale",
                violation_error_message="This product is in another sale that has not finished.",
            ),
            ExclusionConstraint(
                name="listing_windows_apart",
                expressions=[
                    ("variant", RangeOperators.EQUAL),
                    (_Window("opens_at", "closes_at"), RangeOperators.OVERLAPS),
                ],
                violation_error_message="Another sale of this product has a window in this one.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.variant} in {self.sale}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.opens_at, self.closes_at = self.sale.opens_at, self.sale.closes_at
        self.finished = self.sale.finished
        super().save(*args, **kwargs)


class StockMovement(models.Model):
    """A row of the stock ledger. A trigger makes it append-only."""

    class Reason(models.TextChoices):
        RECEIVED = "received"
        SOLD = "sold"
        CANCELLED = "cancelled"
        EXPIRED = "expired"
        CORRECTED = "corrected"

    variant = models.ForeignKey(
        Variant,
        models.PROTECT,
        related_name="movements",
        db_column="product_id",
    )
    delta = models.IntegerField()
    balance = models.PositiveIntegerField(help_text="stock after this movement")
    reason = models.CharField(max_length=9, choices=Reason.choices)
    note = models.CharField(max_length=200, blank=True)
    # The cause: a batch of settlement has sale and version, a cancellation its order, a batch of
    # expired holds a note, staff the actor.
    sale = models.ForeignKey(Sale, models.PROTECT, null=True, blank=True, related_name="movements")
    sale_version = models.PositiveBigIntegerField(null=True, blank=True)
    order = models.UUIDField(null=True, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["variant", "-id"], name="movement_latest")]
        constraints = [
            models.CheckConstraint(condition=~Q(delta=0), name="movement_moves"),
            models.CheckConstraint(condition=Q(balance__gte=0), name="movement_balance"),
            models.CheckConstraint(
                condition=(Q(reason="sold", delta__lt=0, sale__isnull=False))
                | Q(reason="cancelled", delta__gt=0, order__isnull=False)
                | (Q(reason="expired", delta__gt=0) & ~Q(note=""))
                | Q(reason="received", delta__gt=0)
                | (Q(reason="corrected") & ~Q(note="")),
                name="movement_explained",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.variant_id}: {self.delta:+d} {self.reason}"
