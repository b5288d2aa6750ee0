"""Keep on the order what was bought: the product's name, its option and its sku.

Processes of the last release go on without these columns: a trigger fills them. Orders from before are filled in
batches, each a short transaction, so that no lock lasts (`docs/operations.md`). The migration has no transaction of
its own, and goes on where it stopped if it is run again.
"""

from uuid import UUID

from django.db import migrations, models

BATCH = 2000  # orders

_FINAL = """
CREATE OR REPLACE FUNCTION orders_order_final() RETURNS trigger LANGUAGE plpgsql AS $$
{declared}BEGIN
    {first}IF OLD.status <> 'confirmed' OR NEW.status <> 'cancelled' OR NEW.version <= OLD.version
        OR (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
            OLD.currency, OLD.reason, OLD.accepted_at, OLD.settled_at{old})
        IS DISTINCT FROM
           (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
            NEW.currency, NEW.reason, NEW.accepted_at, NEW.settled_at{new})
    THEN
        RAISE EXCEPTION 'order % is final (%)', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
_KEPT = {
    "old": ", OLD.product_name, OLD.option, OLD.sku",
    "new": ", NEW.product_name, NEW.option, NEW.sku",
}
# PostgreSQL computes `owned` after this trigger, so it is not compared.
_FILL = """filled := OLD;
    filled.product_name := NEW.product_name;
    filled.option := NEW.option;
    filled.sku := NEW.sku;
    filled.owned := NEW.owned;
    IF OLD.sku = '' AND NEW.sku <> '' AND filled IS NOT DISTINCT FROM NEW THEN
        RETURN NEW;
    END IF;
    """

FINAL = _FINAL.format(declared="", first="", **_KEPT)
FINAL_BUT_FILLED = _FINAL.format(declared="DECLARE filled orders_order;\n", first=_FILL, **_KEPT)
FINAL_BEFORE = _FINAL.format(declared="", first="", old="", new="")

LOCK_SOON = "SET LOCAL lock_timeout = '5s';"

ADD = f"""
{LOCK_SOON}
ALTER TABLE orders_order
    ADD COLUMN IF NOT EXISTS product_name varchar(120) DEFAULT '' NOT NULL,
    ADD COLUMN IF NOT EXISTS option varchar(40) DEFAULT '' NOT NULL,
    ADD COLUMN IF NOT EXISTS sku varchar(40) DEFAULT '' NOT NULL;
CREATE OR REPLACE FUNCTION orders_order_names_its_product() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT name, option, sku INTO NEW.product_name, NEW.option, NEW.sku
    FROM inventory_product WHERE id = NEW.product_id;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER order_names_its_product BEFORE INSERT ON orders_order
    FOR EACH ROW WHEN (NEW.sku = '' AND NEW.product_id IS NOT NULL)
    EXECUTE FUNCTION orders_order_names_its_product();
{FINAL_BUT_FILLED}
"""  # noqa: S608  # two constants
REMOVE = f"""
{LOCK_SOON}
{FINAL_BEFORE}
DROP TRIGGER order_names_its_product ON orders_order;
DROP FUNCTION orders_order_names_its_product;
ALTER TABLE orders_order DROP COLUMN product_name, DROP COLUMN option, DROP COLUMN sku;
"""

# What a product was called when the order was settled: as the first later edit in the audit found it, else as today.
_NAMED = """
WITH batch AS MATERIALIZED (
    SELECT id FROM orders_order WHERE id > %(after)s ORDER BY id LIMIT %(batch)s
), renamed AS MATERIALIZED (
    SELECT id, product_id, at, before FROM orders_auditentry
    WHERE product_id IS NOT NULL AND "order" IS NULL AND (before ? 'name' OR before ? 'option')
), filled AS (
    UPDATE orders_order AS o SET
        sku = p.sku,
        product_name = coalesce((
            SELECT before ->> 'name' FROM renamed
            WHERE product_id = p.id AND at > o.settled_at AND before ? 'name' ORDER BY at, id LIMIT 1
        ), p.name),
        option = coalesce((
            SELECT before ->> 'option' FROM renamed
            WHERE product_id = p.id AND at > o.settled_at AND before ? 'option' ORDER BY at, id LIMIT 1
        ), p.option)
    FROM inventory_product AS p
    WHERE o.id IN (SELECT id FROM batch) AND o.sku = '' AND p.id = o.product_id
)
SELECT id FROM batch ORDER BY id DESC LIMIT 1
"""

CLOSE = [
    FINAL,
    f"""
    {LOCK_SOON}
    ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS order_names_its_product;
    ALTER TABLE orders_order ADD CONSTRAINT order_names_its_product
        CHECK (product_id IS NULL OR sku <> '') NOT VALID;
    """,
    # Reads all orders while everybody goes on.
    "ALTER TABLE orders_order VALIDATE CONSTRAINT order_names_its_product",
]
REOPEN = "ALTER TABLE orders_order DROP CONSTRAINT order_names_its_product"


def fill(apps, schema_editor):
    last = UUID(int=0)
    with schema_editor.connection.cursor() as cursor:
        while last is not None:
            cursor.execute(_NAMED, {"after": last, "batch": BATCH})
            [last] = cursor.fetchone() or [None]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0008_reason_changed_of_old_orders")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(ADD, REMOVE)],
            [
                migrations.AddField(
                    "Order",
                    "product_name",
                    models.CharField(blank=True, db_default="", max_length=120),
                ),
                migrations.AddField(
                    "Order", "option", models.CharField(blank=True, db_default="", max_length=40)
                ),
                migrations.AddField(
                    "Order", "sku", models.CharField(blank=True, db_default="", max_length=40)
                ),
            ],
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(CLOSE, REOPEN)],
            [
                migrations.AddConstraint(
                    "Order",
                    models.CheckConstraint(
                        condition=models.Q(
                            ("variant__isnull", True), ~models.Q(("sku", "")), _connector="OR"
                        ),
                        name="order_names_its_product",
                    ),
                )
            ],
        ),
    ]
