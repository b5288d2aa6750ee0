"""Let a sale hold units for some minutes, and return those of expired holds to stock.

Processes of the last release insert sales without the columns, and write no movement of the new kind. The new
constraint on movements is checked for old ones by the next migration, which locks nobody out.
"""

import django.core.validators
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

LOCK_SOON = "SET LOCAL lock_timeout = '5s'"

# As in `0002_rules.py`. From the moment that a sale is public its hold is fixed, or becomes longer: shoppers were
# promised that time, or that nobody has to pay in time.
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
    END IF;
    RETURN NEW;
END $$;
"""
_HOLD = """
        OR (OLD.status <> 'draft' AND NEW.hold_minutes <> OLD.hold_minutes
            AND (OLD.hold_minutes = 0 OR NEW.hold_minutes < OLD.hold_minutes))"""


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
                help_text="minutes for which units are held until they are paid; 0: sold at once",
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
        migrations.RunSQL(_FORWARD.format(hold=_HOLD), _FORWARD.format(hold="")),
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
