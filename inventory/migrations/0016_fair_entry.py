"""Let lots decide, put who comes too late on standby, and have rules for who may buy.

Processes of the last release insert sales without the columns. They have constant defaults: PostgreSQL rewrites
nothing.
"""

from django.db import migrations, models

import inventory.models

LOCK_SOON = "SET LOCAL lock_timeout = '5s'"

# As in `0014_holds.py`.
_FORWARD = """
CREATE OR REPLACE FUNCTION inventory_sale_goes_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version < OLD.version
        OR (OLD.status = 'ended' AND NEW.status <> 'ended')
        OR (OLD.status <> 'draft' AND NEW.status = 'draft')
        OR (OLD.finished AND NOT NEW.finished)
        OR NEW.greatest_limit < OLD.greatest_limit
        OR (OLD.status <> 'draft' AND OLD.closes_at <= now() AND NEW.closes_at > OLD.closes_at)
        OR (OLD.status <> 'draft' AND OLD.opens_at <= now() AND NEW.opens_at > OLD.opens_at)
        OR (OLD.status <> 'draft' AND NEW.hold_minutes <> OLD.hold_minutes
            AND (OLD.hold_minutes = 0 OR NEW.hold_minutes < OLD.hold_minutes)){draw}
    THEN
        RAISE EXCEPTION 'sale % cannot go back from %, version %', OLD.id, OLD.status, OLD.version
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status <> 'draft'
        AND (NEW.ask, NEW.payment, NEW.terms) IS DISTINCT FROM (OLD.ask, OLD.payment, OLD.terms)
    THEN
        RAISE EXCEPTION 'the checkout of sale % is fixed: shoppers have seen it', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'sale_checkout_fixed';
    END IF;{entry}
    IF NEW.hold_minutes > 0 AND NEW.confirmed > OLD.confirmed
        AND NEW.confirmed + NEW.held > OLD.confirmed + OLD.held
    THEN
        RAISE EXCEPTION 'sale % holds units before it confirms orders', OLD.id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;{lots}
    RETURN NEW;
END $$;
"""
_DRAW = """
        OR (OLD.status <> 'draft'
            AND array_position(ARRAY['', 'open', 'closed', 'frozen', 'done', 'off'], NEW.draw::text)
              < array_position(ARRAY['', 'open', 'closed', 'frozen', 'done', 'off'], OLD.draw::text))"""
_ENTRY = """
    IF OLD.status <> 'draft'
        AND ((NEW.draw_at, NEW.entrants) IS DISTINCT FROM (OLD.draw_at, OLD.entrants)
             OR (OLD.standby AND NOT NEW.standby)
             OR (OLD.draw <> '' AND NEW.slug <> OLD.slug))
    THEN
        RAISE EXCEPTION 'the entry of sale % is fixed: shoppers have seen it', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'sale_entry_fixed';
    END IF;"""
# A worker of the last release would sell by arrival. Its whole batch fails, and stays in the line for a worker that
# knows draws.
_LOTS = """
    IF OLD.draw IN ('open', 'closed') AND NEW.confirmed + NEW.held > OLD.confirmed + OLD.held THEN
        RAISE EXCEPTION 'sale % sells nothing before its draw', OLD.id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;"""


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0015_movements_of_holds"),
    ]

    operations = [
        migrations.RunSQL(LOCK_SOON, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="sale",
            name="waiting",
            field=models.JSONField(
                db_default=models.Value({}, models.JSONField()), default=dict, editable=False
            ),
        ),
        migrations.AddField(
            model_name="sale",
            name="draw",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "by arrival"),
                    ("open", "Open"),
                    ("closed", "Closed"),
                    ("frozen", "Frozen"),
                    ("done", "Done"),
                    ("off", "Off"),
                ],
                db_default="",
                default="",
                editable=False,
                max_length=6,
            ),
        ),
        migrations.AddField(
            model_name="sale",
            name="draw_at",
            field=models.DateTimeField(
                blank=True,
                help_text="until then every click is an entry, and lots decide; empty: first come, first served",
                null=True,
                validators=[inventory.models.sensible_moment],
                verbose_name="draw",
            ),
        ),
        migrations.AddField(
            model_name="sale",
            name="entrants",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "anyone"),
                    ("email", "people with a verified e-mail address"),
                    ("code", "people with an access code"),
                ],
                db_default="",
                default="",
                max_length=5,
                verbose_name="who may buy",
            ),
        ),
        migrations.AddField(
            model_name="sale",
            name="per_address",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="units, or entries of a draw, from one network; 0: no bound",
                verbose_name="per network",
            ),
        ),
        migrations.AddField(
            model_name="sale",
            name="standby",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="who comes too late waits in order, and gets what comes back",
            ),
        ),
        migrations.AddConstraint(
            model_name="sale",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("draw", ""), ("draw_at", None)),
                    models.Q(
                        ("draw__in", ["open", "closed", "frozen", "done"]),
                        ("draw_at__gt", models.F("opens_at")),
                        ("draw_at__lte", models.F("closes_at")),
                    ),
                    models.Q(("draw", "off"), ("draw_at__isnull", False)),
                    _connector="OR",
                ),
                name="sale_draw_in_window",
                violation_error_message="The draw must be after the opening, and not after the close.",
            ),
        ),
        migrations.AddConstraint(
            model_name="sale",
            constraint=models.CheckConstraint(
                condition=models.Q(("entrants__in", ["", "email", "code"])),
                name="sale_entrants_known",
            ),
        ),
        migrations.RunSQL(
            _FORWARD.format(draw=_DRAW, entry=_ENTRY, lots=_LOTS),
            _FORWARD.format(draw="", entry="", lots=""),
        ),
    ]
