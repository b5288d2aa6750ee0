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
BEGIN
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
# All columns but the three, one by one: to compare whole rows takes longer with each call of a session (PostgreSQL
# 18: 1.5 ms after 50,000 calls). `owned` is computed from the others.
_FILL = """IF OLD.sku = '' AND NEW.sku <> ''
        AND (OLD.id, OLD.sale_id, OLD.product_id, OLD.shopper, OLD.quantity, OLD.unit_price,
             OLD.currency, OLD.status, OLD.reason, OLD.version, OLD.accepted_at, OLD.settled_at)
        IS NOT DISTINCT FROM
            (NEW.id, NEW.sale_id, NEW.product_id, NEW.shopper, NEW.quantity, NEW.unit_price,
             NEW.currency, NEW.status, NEW.reason, NEW.version, NEW.accepted_at, NEW.settled_at)
    THEN
        RETURN NEW;
    END IF;
    """

FINAL = _FINAL.format(first="", **_KEPT)
FINAL_BUT_FILLED = _FINAL.format(first=_FILL, **_KEPT)
FINAL_BEFORE = _FINAL.format(first="", old="", new="")

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

_LAST = """
SELECT id FROM (SELECT id FROM orders_order WHERE id > %(after)s ORDER BY id LIMIT %(batch)s) AS batch
ORDER BY id DESC LIMIT 1
"""
# What a product was called when the order was settled: as the first later edit in the audit found it, else as today.
# PostgreSQL has no statistics of the new columns, and expects few rows to have an empty sku. So the batch is a range of
# ids, and only the last step looks at skus: else all orders are read for each batch, or all edits for each order.
_NAMED = """
WITH batch AS MATERIALIZED (
    SELECT id, product_id, settled_at FROM orders_order
    WHERE id > %(after)s AND id <= %(last)s
), renamed AS MATERIALIZED (
    SELECT b.id AS purchase, a.id, a.at, a.before
    FROM batch AS b JOIN orders_auditentry AS a ON a.product_id = b.product_id AND a.at > b.settled_at
    WHERE a."order" IS NULL AND (a.before ? 'name' OR a.before ? 'option')
), names AS (
    SELECT DISTINCT ON (purchase) purchase, before ->> 'name' AS name
    FROM renamed WHERE before ? 'name' ORDER BY purchase, at, id
), options AS (
    SELECT DISTINCT ON (purchase) purchase, before ->> 'option' AS option
    FROM renamed WHERE before ? 'option' ORDER BY purchase, at, id
), named AS MATERIALIZED (
    SELECT batch.id, p.sku, coalesce(names.name, p.name) AS name, coalesce(options.option, p.option) AS option
    FROM batch JOIN inventory_product AS p ON p.id = batch.product_id
        LEFT JOIN names ON names.purchase = batch.id LEFT JOIN options ON options.purchase = batch.id
)
UPDATE orders_order AS o SET sku = named.sku, product_name = named.name, option = named.option
FROM named WHERE o.id = named.id AND o.id > %(after)s AND o.id <= %(last)s AND o.sku = ''
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
    after = UUID(int=0)
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(_LAST, {"after": after, "batch": BATCH})
            found = cursor.fetchone()
            if found is None:
                return
            cursor.execute(_NAMED, {"after": after, "last": found[0]})
            [after] = found


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
