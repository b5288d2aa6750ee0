"""Keep with a held order the network of its click, as a keyed hash (`orders/networks.py`), until it is erased.

The column has a constant default: PostgreSQL rewrites nothing. Processes of the last release write no network. The
index reads the table once, while writes wait: no order has a network yet.
"""

from django.db import migrations, models

LOCK_SOON = "SET LOCAL lock_timeout = '5s'"

# As in `0011_holds.py`. A network never changes, and may be erased at any time: that moves no unit, and
# replication has nothing to say of it.
_FINAL = """
CREATE OR REPLACE FUNCTION orders_order_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'held' AND NEW.status = 'held' AND NEW.capturing <> OLD.capturing
        AND (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
             OLD.currency, OLD.reason, OLD.version, OLD.accepted_at, OLD.settled_at,
             OLD.product_name, OLD.option, OLD.sku, OLD.hold_until{network_old})
        IS NOT DISTINCT FROM
            (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
             NEW.currency, NEW.reason, NEW.version, NEW.accepted_at, NEW.settled_at,
             NEW.product_name, NEW.option, NEW.sku, NEW.hold_until{network_new})
    THEN
        RETURN NEW;
    END IF;
    {erased}IF NOT (CASE OLD.status
        WHEN 'waiting' THEN NEW.status IN ('held', 'confirmed', 'rejected', 'cancelled')
        WHEN 'held' THEN NEW.status IN ('confirmed', 'expired', 'cancelled')
        WHEN 'confirmed' THEN NEW.status IN ('cancelled')
        WHEN 'expired' THEN NEW.status IN ('held')
        ELSE false END) OR NEW.version <= OLD.version
        OR (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
            OLD.currency, OLD.accepted_at, OLD.settled_at, OLD.product_name, OLD.option, OLD.sku{network_old})
        IS DISTINCT FROM
           (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
            NEW.currency, NEW.accepted_at, NEW.settled_at, NEW.product_name, NEW.option, NEW.sku{network_new})
        OR (NEW.reason <> OLD.reason AND NEW.status <> 'rejected')
        OR (NEW.hold_until IS DISTINCT FROM OLD.hold_until AND NEW.status <> 'held')
    THEN
        RAISE EXCEPTION 'order % is final (%)', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
FINAL = _FINAL.format(
    network_old=", OLD.network",
    network_new=", NEW.network",
    erased="""IF OLD.network <> '' AND NEW.network = ''
        AND (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
             OLD.currency, OLD.reason, OLD.version, OLD.accepted_at, OLD.settled_at,
             OLD.product_name, OLD.option, OLD.sku, OLD.hold_until, OLD.status, OLD.capturing)
        IS NOT DISTINCT FROM
            (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
             NEW.currency, NEW.reason, NEW.version, NEW.accepted_at, NEW.settled_at,
             NEW.product_name, NEW.option, NEW.sku, NEW.hold_until, NEW.status, NEW.capturing)
    THEN
        RETURN NEW;
    END IF;
    """,
)
FINAL_BEFORE = _FINAL.format(network_old="", network_new="", erased="")


class Migration(migrations.Migration):
    dependencies = [("orders", "0012_outbox")]

    operations = [
        migrations.RunSQL(LOCK_SOON, LOCK_SOON),
        migrations.AddField(
            "Order",
            "network",
            models.CharField(blank=True, db_default="", editable=False, max_length=16),
        ),
        migrations.AddIndex(
            "Order",
            models.Index(
                condition=models.Q(
                    models.Q(("network", ""), _negated=True),
                    models.Q(("status", "held"), _negated=True),
                ),
                fields=["sale", "network", "status"],
                name="order_of_network",
            ),
        ),
        migrations.RunSQL(FINAL, FINAL_BEFORE),
    ]
