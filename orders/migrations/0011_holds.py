"""Know held, expired and waiting orders. A held order owns its units.

PostgreSQL rewrites the table of orders once, under an exclusive lock, because `owned` is computed anew
(`docs/operations.md` says for how long); the constraints are checked in the same pass. It waits briefly for the lock,
fails, and is run again, as `0005_owned.py` explains. Processes of the last release go on: they neither read the new
columns nor write the new statuses.
"""

from django.db import migrations, models

ARROWS = {
    "waiting": ["held", "confirmed", "rejected", "cancelled"],
    "held": ["confirmed", "expired", "cancelled"],
    "confirmed": ["cancelled"],
    "expired": ["held"],
}
_ALLOWED = "".join(
    f"\n        WHEN '{before}' THEN NEW.status IN ({', '.join(map(repr, after))})"
    for before, after in ARROWS.items()
)

_FINAL = """
CREATE OR REPLACE FUNCTION orders_order_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {first}IF {forbidden} OR NEW.version <= OLD.version
        OR (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
            OLD.currency, OLD.accepted_at, OLD.settled_at, OLD.product_name, OLD.option, OLD.sku)
        IS DISTINCT FROM
           (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
            NEW.currency, NEW.accepted_at, NEW.settled_at, NEW.product_name, NEW.option, NEW.sku)
        OR {reason}
    THEN
        RAISE EXCEPTION 'order % is final (%)', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
FINAL = _FINAL.format(
    # In parentheses: PL/pgSQL ends a condition at the first THEN outside.
    forbidden=f"NOT (CASE OLD.status{_ALLOWED}\n        ELSE false END)",
    reason="""(NEW.reason <> OLD.reason AND NEW.status <> 'rejected')
        OR (NEW.hold_until IS DISTINCT FROM OLD.hold_until AND NEW.status <> 'held')""",
    # The start and the end of a capture move no unit, and replication has nothing to say of them.
    first="""IF OLD.status = 'held' AND NEW.status = 'held' AND NEW.capturing <> OLD.capturing
        AND (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
             OLD.currency, OLD.reason, OLD.version, OLD.accepted_at, OLD.settled_at,
             OLD.product_name, OLD.option, OLD.sku, OLD.hold_until)
        IS NOT DISTINCT FROM
            (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
             NEW.currency, NEW.reason, NEW.version, NEW.accepted_at, NEW.settled_at,
             NEW.product_name, NEW.option, NEW.sku, NEW.hold_until)
    THEN
        RETURN NEW;
    END IF;
    """,
)
FINAL_BEFORE = _FINAL.format(
    first="",
    forbidden="OLD.status <> 'confirmed' OR NEW.status <> 'cancelled'",
    reason="NEW.reason <> OLD.reason",
)

LOCK_SOON = "SET LOCAL lock_timeout = '5s';"

ADD = f"""
{LOCK_SOON}
ALTER TABLE orders_order
    ADD COLUMN hold_until timestamp with time zone,
    ADD COLUMN capturing boolean DEFAULT false NOT NULL,
    DROP COLUMN owned,
    ADD COLUMN owned integer GENERATED ALWAYS AS
        (CASE WHEN status IN ('held', 'confirmed') THEN quantity ELSE 0 END) STORED
        CONSTRAINT orders_order_owned_check CHECK (owned >= 0),
    DROP CONSTRAINT order_status_known,
    ADD CONSTRAINT order_status_known CHECK
        (status IN ('waiting', 'held', 'confirmed', 'rejected', 'expired', 'cancelled')),
    ADD CONSTRAINT order_hold_ends CHECK
        (status NOT IN ('held', 'expired') OR hold_until IS NOT NULL),
    ADD CONSTRAINT order_captures_while_held CHECK (NOT capturing OR status = 'held');
CREATE INDEX order_due ON orders_order (hold_until) WHERE status = 'held';
{FINAL}
"""
REMOVE = f"""
{LOCK_SOON}
{FINAL_BEFORE}
DROP INDEX order_due;
ALTER TABLE orders_order
    DROP CONSTRAINT order_hold_ends,
    DROP CONSTRAINT order_captures_while_held,
    DROP CONSTRAINT order_status_known,
    ADD CONSTRAINT order_status_known CHECK (status IN ('confirmed', 'rejected', 'cancelled')),
    DROP COLUMN owned,
    ADD COLUMN owned integer GENERATED ALWAYS AS
        (CASE WHEN status IN ('confirmed') THEN quantity ELSE 0 END) STORED
        CONSTRAINT orders_order_owned_check CHECK (owned >= 0),
    DROP COLUMN capturing,
    DROP COLUMN hold_until;
"""

STATUSES = ["waiting", "held", "confirmed", "rejected", "expired", "cancelled"]


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0010_audit_of_products"),
        ("inventory", "0014_holds"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(ADD, REMOVE)],
            [
                migrations.RemoveField("Order", "owned"),
                migrations.AlterField(
                    "Order",
                    "status",
                    models.CharField(
                        choices=[(status, status.capitalize()) for status in STATUSES],
                        max_length=9,
                    ),
                ),
                migrations.AddField(
                    "Order", "hold_until", models.DateTimeField(editable=False, null=True)
                ),
                migrations.AddField(
                    "Order",
                    "capturing",
                    models.BooleanField(db_default=False, default=False, editable=False),
                ),
                migrations.AddConstraint(
                    "Order",
                    models.CheckConstraint(
                        condition=models.Q(
                            ("capturing", False), ("status", "held"), _connector="OR"
                        ),
                        name="order_captures_while_held",
                    ),
                ),
                migrations.AddField(
                    "Order",
                    "owned",
                    models.GeneratedField(
                        db_persist=True,
                        expression=models.Case(
                            models.When(
                                status__in=("held", "confirmed"), then=models.F("quantity")
                            ),
                            default=0,
                        ),
                        output_field=models.PositiveIntegerField(),
                    ),
                ),
                migrations.RemoveConstraint("Order", "order_status_known"),
                migrations.AddConstraint(
                    "Order",
                    models.CheckConstraint(
                        condition=models.Q(("status__in", STATUSES)), name="order_status_known"
                    ),
                ),
                migrations.AddConstraint(
                    "Order",
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status__in", ["held", "expired"]), _negated=True),
                            ("hold_until__isnull", False),
                            _connector="OR",
                        ),
                        name="order_hold_ends",
                    ),
                ),
                migrations.AddIndex(
                    "Order",
                    models.Index(
                        condition=models.Q(("status", "held")),
                        fields=["hold_until"],
                        name="order_due",
                    ),
                ),
            ],
        ),
        migrations.AlterField(
            "AuditEntry",
            "action",
            models.CharField(
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
                ],
                max_length=9,
            ),
        ),
    ]
