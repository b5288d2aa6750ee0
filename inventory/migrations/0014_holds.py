"""Let a sale hold units for some minutes, return those of expired holds to stock, and have the rules of a checkout.

Processes of the last release insert sales without the columns, and write no movement of the new kind. The new
constraint on movements is checked for old ones by the next migration, which locks nobody out.
"""

import django.core.validators
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

import inventory.models
import inventory.names

LOCK_SOON = "SET LOCAL lock_timeout = '5s'"

# As in `0002_rules.py`. From the moment that a sale is public its hold is fixed, or becomes longer: shoppers were
# promised that time, or that nobody has to pay in time. Its checkout stays as it is.
_FORWARD = """
CREATE OR REPLACE FUNCTION inventory_sale_goes_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version < OLD.version
        OR (OLD.status = 'ended' AND NEW.status <> 'ended')
        OR (OLD.status <> 'draft' AND NEW.status = 'draft')
        OR (OLD.finished AND NOT NEW.finished)
        OR NEW.greatest_limit < OLD.greatest_limit
        OR (OLD.status <> 'draft' AND OLD.closes_at <= now() AND NEW.closes_at > OLD.closes_at)
        OR (OLD.status <> 'draft' AND OLD.opens_at <= now() AND NEW.opens_at > OLD.opens_at){hold}
    THEN
        RAISE EXCEPTION 'sale % cannot go back from %, version %', OLD.id, OLD.status, OLD.version
            USING ERRCODE = 'check_violation';
    END IF;{more}
    RETURN NEW;
END $$;
"""
_HOLD = """
        OR (OLD.status <> 'draft' AND NEW.hold_minutes <> OLD.hold_minutes
            AND (OLD.hold_minutes = 0 OR NEW.hold_minutes < OLD.hold_minutes))"""
_CHECKOUT = """
    IF OLD.status <> 'draft'
        AND (NEW.ask, NEW.payment, NEW.terms) IS DISTINCT FROM (OLD.ask, OLD.payment, OLD.terms)
    THEN
        RAISE EXCEPTION 'the checkout of sale % is fixed: shoppers have seen it', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'sale_checkout_fixed';
    END IF;"""
# A worker of the last release would confirm at once. Its whole batch fails, and stays in the line for a worker
# that knows holds. The code is of no class that settlement takes for an error of the purchase itself, which it
# would reject. Once a batch, because settlement counts its orders here anyway.
_HOLD_FIRST = """
    IF NEW.hold_minutes > 0 AND NEW.confirmed > OLD.confirmed
        AND NEW.confirmed + NEW.held > OLD.confirmed + OLD.held
    THEN
        RAISE EXCEPTION 'sale % holds units before it confirms orders', OLD.id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0013_last_release")]

    operations = [
        migrations.RunSQL(LOCK_SOON, migrations.RunSQL.noop),
        migrations.AddField(
            "Sale",
            "hold_minutes",
            models.PositiveSmallIntegerField(
                db_default=0,
                default=0,
                help_text="minutes for which units are held while the shopper checks out; 0: sold at once",
                validators=[django.core.validators.MaxValueValidator(10080)],
                verbose_name="hold",
            ),
        ),
        migrations.AddField(
            "Sale",
            "held",
            models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddConstraint(
            "Sale",
            models.CheckConstraint(
                condition=models.Q(("hold_minutes__lte", 10080)), name="sale_hold_sensible"
            ),
        ),
        migrations.AddField(
            "Sale",
            "ask",
            models.CharField(
                blank=True,
                choices=[
                    ("", "nothing"),
                    ("email", "e-mail"),
                    ("address", "e-mail and postal address"),
                ],
                db_default="",
                default="",
                help_text="asked at the checkout",
                max_length=8,
            ),
        ),
        migrations.AddField(
            "Sale",
            "payment",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="the payment provider; empty: nothing is paid here",
                max_length=20,
                validators=[inventory.models.known_provider],
            ),
        ),
        migrations.AddField(
            "Sale",
            "terms",
            inventory.names.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="in Markdown; the shopper accepts them at the checkout",
                max_length=20000,
                validators=[django.core.validators.MaxLengthValidator(20000)],
            ),
        ),
        migrations.AddField(
            "Sale",
            "price_note",
            inventory.names.LineField(
                blank=True,
                db_default="",
                default="",
                help_text="beside the total, such as: incl. 19 % VAT, free shipping",
                max_length=200,
            ),
        ),
        migrations.AddField(
            "Sale",
            "contact_days",
            models.PositiveSmallIntegerField(
                db_default=180,
                default=180,
                help_text="days after the end until names and addresses are erased; 0: never",
                validators=[django.core.validators.MaxValueValidator(3650)],
                verbose_name="contacts kept",
            ),
        ),
        migrations.AddConstraint(
            "Sale",
            models.CheckConstraint(
                condition=models.Q(("ask__in", ["", "email", "address"])), name="sale_ask_known"
            ),
        ),
        migrations.AddConstraint(
            "Sale",
            models.CheckConstraint(
                condition=models.Q(
                    ("hold_minutes__gte", 1),
                    models.Q(("ask", ""), ("payment", ""), ("terms", "")),
                    _connector="OR",
                ),
                name="sale_checkout_needs_hold",
                violation_error_message="What is asked or paid at a checkout needs a hold of some minutes.",
            ),
        ),
        migrations.AddConstraint(
            "Sale",
            models.CheckConstraint(
                condition=models.Q(("contact_days__lte", 3650)), name="sale_contact_days_sensible"
            ),
        ),
        migrations.RunSQL(
            _FORWARD.format(hold=_HOLD, more=_CHECKOUT + _HOLD_FIRST),
            _FORWARD.format(hold="", more=""),
        ),
        migrations.AlterField(
            "StockMovement",
            "reason",
            models.CharField(
                choices=[
                    ("received", "Received"),
                    ("sold", "Sold"),
                    ("cancelled", "Cancelled"),
                    ("expired", "Expired"),
                    ("corrected", "Corrected"),
                ],
                max_length=9,
            ),
        ),
        migrations.RemoveConstraint("StockMovement", "movement_explained"),
        AddConstraintNotValid(
            "StockMovement",
            models.CheckConstraint(
                condition=models.Q(("delta__lt", 0), ("reason", "sold"), ("sale__isnull", False))
                | models.Q(("delta__gt", 0), ("order__isnull", False), ("reason", "cancelled"))
                | (models.Q(("delta__gt", 0), ("reason", "expired")) & ~models.Q(("note", "")))
                | models.Q(("delta__gt", 0), ("reason", "received"))
                | (models.Q(("reason", "corrected")) & ~models.Q(("note", ""))),
                name="movement_explained",
            ),
        ),
    ]
