"""Give waiting orders a place, and keep draws with their lots.

PostgreSQL rewrites no table, and reads none. The next migrations check the new constraint for old rows, and build the
indexes of orders and audit, beside reads and writes. Processes of the last release neither read nor write any of this.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

LOCK_SOON = "SET LOCAL lock_timeout = '5s'"

# As in `0013_network.py`. A waiting order gets a place once, and keeps it.
_FINAL = """
CREATE OR REPLACE FUNCTION orders_order_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'held' AND NEW.status = 'held' AND NEW.capturing <> OLD.capturing
        AND (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
             OLD.currency, OLD.reason, OLD.version, OLD.accepted_at, OLD.settled_at,
             OLD.product_name, OLD.option, OLD.sku, OLD.hold_until, OLD.network{place_old})
        IS NOT DISTINCT FROM
            (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
             NEW.currency, NEW.reason, NEW.version, NEW.accepted_at, NEW.settled_at,
             NEW.product_name, NEW.option, NEW.sku, NEW.hold_until, NEW.network{place_new})
    THEN
        RETURN NEW;
    END IF;
    IF OLD.network <> '' AND NEW.network = ''
        AND (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
             OLD.currency, OLD.reason, OLD.version, OLD.accepted_at, OLD.settled_at,
             OLD.product_name, OLD.option, OLD.sku, OLD.hold_until, OLD.status, OLD.capturing{place_old})
        IS NOT DISTINCT FROM
            (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
             NEW.currency, NEW.reason, NEW.version, NEW.accepted_at, NEW.settled_at,
             NEW.product_name, NEW.option, NEW.sku, NEW.hold_until, NEW.status, NEW.capturing{place_new})
    THEN
        RETURN NEW;
    END IF;
    IF NOT (CASE OLD.status
        WHEN 'waiting' THEN NEW.status IN ('held', 'confirmed', 'rejected', 'cancelled'){placed}
        WHEN 'held' THEN NEW.status IN ('confirmed', 'expired', 'cancelled')
        WHEN 'confirmed' THEN NEW.status IN ('cancelled')
        WHEN 'expired' THEN NEW.status IN ('held')
        ELSE false END) OR NEW.version <= OLD.version
        OR (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
            OLD.currency, OLD.accepted_at, OLD.settled_at, OLD.product_name, OLD.option, OLD.sku, OLD.network)
        IS DISTINCT FROM
           (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
            NEW.currency, NEW.accepted_at, NEW.settled_at, NEW.product_name, NEW.option, NEW.sku, NEW.network)
        OR (NEW.reason <> OLD.reason AND NEW.status <> 'rejected'{aside})
        OR (NEW.hold_until IS DISTINCT FROM OLD.hold_until AND NEW.status <> 'held'){kept}
    THEN
        RAISE EXCEPTION 'order % is final (%)', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
FINAL = _FINAL.format(
    place_old=", OLD.place",
    place_new=", NEW.place",
    placed="""
            OR (NEW.status = 'waiting' AND OLD.place IS NULL AND NEW.place IS NOT NULL)""",
    aside="""
            AND NOT (OLD.status = 'waiting' AND NEW.status = 'cancelled')""",
    kept="""
        OR (NEW.place IS DISTINCT FROM OLD.place AND NOT (OLD.status = 'waiting' AND OLD.place IS NULL))""",
)
FINAL_BEFORE = _FINAL.format(place_old="", place_new="", placed="", aside="", kept="")

# Published facts stay: a draw tells of each thing once, and a lot gets its rank once.
ONCE = """
CREATE FUNCTION orders_draw_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.sale_id, OLD.commitment, OLD.beacon, OLD.round, OLD.sealed_seed)
        IS DISTINCT FROM (NEW.sale_id, NEW.commitment, NEW.beacon, NEW.round, NEW.sealed_seed)
        OR (OLD.root <> '' AND (OLD.root, OLD.entries, OLD.stock, OLD.frozen_at)
            IS DISTINCT FROM (NEW.root, NEW.entries, NEW.stock, NEW.frozen_at))
        OR (OLD.root = '' AND NEW.seed <> '')
        OR (OLD.seed <> '' AND (OLD.seed, OLD.signature) IS DISTINCT FROM (NEW.seed, NEW.signature))
        OR NEW.allotted < OLD.allotted
        OR (OLD.drawn_at IS NOT NULL AND OLD.drawn_at IS DISTINCT FROM NEW.drawn_at)
    THEN
        RAISE EXCEPTION 'the draw of sale % keeps what was published', OLD.sale_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER draw_once BEFORE UPDATE ON orders_draw FOR EACH ROW EXECUTE FUNCTION orders_draw_once();
CREATE FUNCTION orders_lot_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lot % is final', OLD.order_id USING ERRCODE = 'check_violation';
END $$;
-- A condition costs less than a call of the function, for each of a million lots.
CREATE TRIGGER lot_once BEFORE UPDATE ON orders_lot FOR EACH ROW
WHEN (OLD.rank IS NOT NULL OR (OLD.order_id, OLD.sale_id, OLD.leaf, OLD.sku, OLD.quantity, OLD.set_aside)
      IS DISTINCT FROM (NEW.order_id, NEW.sale_id, NEW.leaf, NEW.sku, NEW.quantity, NEW.set_aside))
EXECUTE FUNCTION orders_lot_once();
-- Once per statement: the freeze may make a million lots anew before it publishes their root.
CREATE FUNCTION orders_lots_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT sale_id FROM gone) AS lots
               JOIN orders_draw AS d ON d.sale_id = lots.sale_id WHERE d.root <> '')
    THEN
        RAISE EXCEPTION 'the lots of a frozen draw are kept' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lots_kept AFTER DELETE ON orders_lot REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION orders_lots_kept();
"""
ONCE_BEFORE = """
DROP TRIGGER lots_kept ON orders_lot;
DROP TRIGGER lot_once ON orders_lot;
DROP TRIGGER draw_once ON orders_draw;
DROP FUNCTION orders_lots_kept, orders_lot_once, orders_draw_once;
"""
# A lot is written anew once, with its rank.
HALF_FREE = "ALTER TABLE orders_lot SET (fillfactor = 45)"


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0016_fair_entry"),
        ("orders", "0013_network"),
    ]

    operations = [
        migrations.RunSQL(LOCK_SOON, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="Draw",
            fields=[
                (
                    "sale",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="lottery",
                        serialize=False,
                        to="inventory.sale",
                    ),
                ),
                ("commitment", models.CharField(max_length=64)),
                ("sealed_seed", models.TextField(editable=False)),
                ("seed", models.CharField(blank=True, max_length=64)),
                (
                    "beacon",
                    models.CharField(
                        blank=True, choices=[("", "None"), ("quicknet", "Quicknet")], max_length=12
                    ),
                ),
                ("round", models.PositiveBigIntegerField(null=True)),
                ("signature", models.CharField(blank=True, max_length=192)),
                ("root", models.CharField(blank=True, max_length=64)),
                ("entries", models.PositiveIntegerField(null=True)),
                ("stock", models.JSONField(default=dict)),
                ("allotted", models.PositiveIntegerField(default=0)),
                ("left", models.JSONField(default=dict)),
                ("scheduled_at", models.DateTimeField(auto_now_add=True)),
                ("frozen_at", models.DateTimeField(null=True)),
                ("drawn_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Lot",
            fields=[
                (
                    "order",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="lot",
                        serialize=False,
                        to="orders.order",
                    ),
                ),
                ("leaf", models.PositiveIntegerField()),
                ("sku", models.CharField(max_length=40)),
                ("quantity", models.PositiveIntegerField()),
                ("set_aside", models.BooleanField(default=False)),
                ("rank", models.PositiveIntegerField(null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="order",
            name="order_reason_iff_rejected",
        ),
        migrations.AddField(
            model_name="order",
            name="place",
            field=models.PositiveBigIntegerField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(
                choices=[
                    ("created", "Created"),
                    ("edited", "Edited"),
                    ("deleted", "Deleted"),
                    ("scheduled", "Scheduled"),
                    ("opened", "Opened"),
                    ("paused", "Paused"),
                    ("resumed", "Resumed"),
                    ("ended", "Ended"),
                    ("window", "Window changed"),
                    ("limit", "Limit changed"),
                    ("hold", "Hold changed"),
                    ("restocked", "Restocked"),
                    ("corrected", "Stock corrected"),
                    ("cancelled", "Order cancelled"),
                    ("shipped", "Order shipped"),
                    ("looked", "Contact looked at"),
                    ("exported", "Contacts exported"),
                    ("erased", "Contact erased"),
                    ("refund", "Refund tried again"),
                    ("aside", "Entry set aside"),
                    ("standby", "Standby changed"),
                ],
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "None"),
                    ("sold_out", "Sold Out"),
                    ("limit", "Limit"),
                    ("changed", "Changed"),
                    ("sign_in", "Sign In"),
                    ("no_code", "No Code"),
                    ("error", "Error"),
                    ("not_drawn", "Not Drawn"),
                    ("set_aside", "Set Aside"),
                ],
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="outboxrow",
            name="event",
            field=models.CharField(
                choices=[
                    ("drawn", "Drawn"),
                    ("served", "Served"),
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
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        (
                            "reason__in",
                            [
                                "sold_out",
                                "limit",
                                "changed",
                                "sign_in",
                                "no_code",
                                "error",
                                "not_drawn",
                            ],
                        ),
                        ("status", "rejected"),
                    ),
                    models.Q(("reason", "set_aside"), ("status", "cancelled")),
                    models.Q(models.Q(("status", "rejected"), _negated=True), ("reason", "")),
                    _connector="OR",
                ),
                name="order_reason_iff_rejected",
            ),
        ),
        migrations.AddField(
            model_name="lot",
            name="sale",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="inventory.sale",
            ),
        ),
        migrations.AddConstraint(
            model_name="lot",
            constraint=models.UniqueConstraint(fields=("sale", "leaf"), name="lot_leaf"),
        ),
        migrations.RunSQL(HALF_FREE, migrations.RunSQL.noop),
        migrations.RunSQL(FINAL, FINAL_BEFORE),
        migrations.RunSQL(ONCE, ONCE_BEFORE),
    ]
