"""Rules that PostgreSQL enforces, under raw SQL too."""

from django.db import migrations

# A listing's window follows its sale's, so that the constraints on listings check the real window.
LISTING_FOLLOWS_SALE = """
ALTER TABLE inventory_listing ADD CONSTRAINT listing_follows_sale
    FOREIGN KEY (sale_id, opens_at, closes_at, finished)
    REFERENCES inventory_sale (id, opens_at, closes_at, finished) ON UPDATE CASCADE;
"""

# The ledger is append-only. A trigger per statement, so that it refuses TRUNCATE too.
LEDGER_APPEND_ONLY = """
CREATE FUNCTION inventory_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON inventory_stockmovement
    FOR EACH STATEMENT EXECUTE FUNCTION inventory_refuse_change();
"""

# Each movement continues from the balance of the product's last one. At the end of a transaction that changed
# the product or its movements, the stock equals the last balance. By induction, stock is the sum of movements.
BOOKS_BALANCE = """
CREATE FUNCTION inventory_movement_continues() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    latest inventory_stockmovement;
BEGIN
    SELECT * INTO latest FROM inventory_stockmovement
    WHERE product_id = NEW.product_id AND id <> NEW.id ORDER BY id DESC LIMIT 1;
    IF latest.id > NEW.id OR coalesce(latest.balance, 0) + NEW.delta <> NEW.balance THEN
        RAISE EXCEPTION 'movement % of product % does not continue %: % and % make not %',
            NEW.id, NEW.product_id, latest.id, coalesce(latest.balance, 0), NEW.delta, NEW.balance
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER movement_continues AFTER INSERT ON inventory_stockmovement
    FOR EACH ROW EXECUTE FUNCTION inventory_movement_continues();

CREATE FUNCTION inventory_stock_explained() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched bigint := CASE TG_TABLE_NAME
        WHEN 'inventory_product' THEN (to_jsonb(NEW) ->> 'id')::bigint
        ELSE (to_jsonb(NEW) ->> 'product_id')::bigint END;
    stands integer := (SELECT stock FROM inventory_product WHERE id = touched);
    booked integer := coalesce((
        SELECT balance FROM inventory_stockmovement
        WHERE product_id = touched ORDER BY id DESC LIMIT 1), 0);
BEGIN
    IF stands <> booked THEN
        RAISE EXCEPTION 'product %: the stock is %, the ledger says %', touched, stands, booked
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER stock_explained AFTER INSERT OR UPDATE OF stock ON inventory_product
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION inventory_stock_explained();
CREATE CONSTRAINT TRIGGER stock_follows AFTER INSERT ON inventory_stockmovement
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION inventory_stock_explained();
"""

# Ended is final, also by the clock, and so is finished; an opening in the past cannot move to later; versions
# never fall.
SALE_GOES_FORWARD = """
CREATE FUNCTION inventory_sale_goes_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version < OLD.version
        OR (OLD.status = 'ended' AND NEW.status <> 'ended')
        OR (OLD.status <> 'draft' AND NEW.status = 'draft')
        OR (OLD.finished AND NOT NEW.finished)
        OR NEW.greatest_limit < OLD.greatest_limit
        OR (OLD.status <> 'draft' AND OLD.closes_at <= now() AND NEW.closes_at > OLD.closes_at)
        OR (OLD.status <> 'draft' AND OLD.opens_at <= now() AND NEW.opens_at > OLD.opens_at)
    THEN
        RAISE EXCEPTION 'sale % cannot go back from %, version %', OLD.id, OLD.status, OLD.version
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sale_goes_forward BEFORE UPDATE ON inventory_sale
    FOR EACH ROW EXECUTE FUNCTION inventory_sale_goes_forward();
"""

# From the opening of a sale until it is finished, its products and their prices are fixed. A sku never changes:
# gate and line identify a product by it.
SALE_FROZEN = """
CREATE FUNCTION inventory_price_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sku <> OLD.sku THEN
        RAISE EXCEPTION 'the sku of product % is fixed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM inventory_listing AS l JOIN inventory_sale AS s ON s.id = l.sale_id
        WHERE l.product_id = OLD.id AND NOT s.finished AND s.status <> 'draft' AND s.opens_at <= now()
    ) THEN
        RAISE EXCEPTION 'product % is on sale: its price is frozen', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER price_frozen BEFORE UPDATE OF sku, price, currency ON inventory_product
    FOR EACH ROW
    WHEN ((OLD.sku, OLD.price, OLD.currency) IS DISTINCT FROM (NEW.sku, NEW.price, NEW.currency))
    EXECUTE FUNCTION inventory_price_frozen();

CREATE FUNCTION inventory_listing_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched bigint[] := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.sale_id]
        WHEN 'DELETE' THEN ARRAY[OLD.sale_id]
        ELSE ARRAY[OLD.sale_id, NEW.sale_id] END;
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.sale_id, OLD.product_id) = (NEW.sale_id, NEW.product_id) THEN
        RETURN NEW;
    END IF;
    IF EXISTS (
        SELECT FROM inventory_sale
        WHERE id = ANY(touched) AND status <> 'draft' AND opens_at <= now()
    ) THEN
        RAISE EXCEPTION 'sale % has opened: its products are fixed', touched
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER listing_frozen BEFORE INSERT OR UPDATE OR DELETE ON inventory_listing
    FOR EACH ROW EXECUTE FUNCTION inventory_listing_frozen();
"""


def rule(made: str, *unmade: str) -> migrations.RunSQL:
    return migrations.RunSQL(made, ";".join(unmade))


class Migration(migrations.Migration):
    dependencies = [("inventory", "0001_initial")]

    operations = [
        rule(
            LISTING_FOLLOWS_SALE,
            "ALTER TABLE inventory_listing DROP CONSTRAINT listing_follows_sale",
        ),
        rule(
            LEDGER_APPEND_ONLY,
            "DROP TRIGGER ledger_append_only ON inventory_stockmovement",
            "DROP FUNCTION inventory_refuse_change",
        ),
        rule(
            BOOKS_BALANCE,
            "DROP TRIGGER movement_continues ON inventory_stockmovement",
            "DROP TRIGGER stock_explained ON inventory_product",
            "DROP TRIGGER stock_follows ON inventory_stockmovement",
            "DROP FUNCTION inventory_movement_continues, inventory_stock_explained",
        ),
        rule(
            SALE_GOES_FORWARD,
            "DROP TRIGGER sale_goes_forward ON inventory_sale",
            "DROP FUNCTION inventory_sale_goes_forward",
        ),
        rule(
            SALE_FROZEN,
            "DROP TRIGGER price_frozen ON inventory_product",
            "DROP TRIGGER listing_frozen ON inventory_listing",
            "DROP FUNCTION inventory_price_frozen, inventory_listing_frozen",
        ),
    ]
