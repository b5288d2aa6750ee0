"""An order is a final answer: PostgreSQL allows no change of it except a cancellation."""

from django.db import migrations

ORDER_FINAL = """
CREATE FUNCTION orders_order_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'confirmed' OR NEW.status <> 'cancelled' OR NEW.version <= OLD.version
        OR (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
            OLD.currency, OLD.reason, OLD.accepted_at, OLD.settled_at)
        IS DISTINCT FROM
           (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
            NEW.currency, NEW.reason, NEW.accepted_at, NEW.settled_at)
    THEN
        RAISE EXCEPTION 'order % is final (%)', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER order_final BEFORE UPDATE ON orders_order
    FOR EACH ROW EXECUTE FUNCTION orders_order_final();
CREATE TRIGGER order_kept BEFORE DELETE OR TRUNCATE ON orders_order
    FOR EACH STATEMENT EXECUTE FUNCTION inventory_refuse_change();
"""


# The product of an order must be listed in its sale.
ORDER_LISTED = """
ALTER TABLE orders_order ADD CONSTRAINT order_of_a_listing
    FOREIGN KEY (sale_id, product_id) REFERENCES inventory_listing (sale_id, product_id);
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial"), ("inventory", "0002_rules")]

    operations = [
        migrations.RunSQL(
            ORDER_FINAL,
            "DROP TRIGGER order_final ON orders_order; DROP TRIGGER order_kept ON orders_order;"
            "DROP FUNCTION orders_order_final",
        ),
        migrations.RunSQL(
            ORDER_LISTED, "ALTER TABLE orders_order DROP CONSTRAINT order_of_a_listing"
        ),
    ]
