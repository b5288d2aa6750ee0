"""An order refers to its sale and product by the listing alone.

The order of a poison entry has no product, and so no listing: triggers make sure that its sale exists and stays.
"""

import django.db.models.deletion
from django.db import migrations, models

SALE_KEPT = """
CREATE FUNCTION orders_sale_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM orders_order WHERE sale_id = OLD.id) THEN
        RAISE EXCEPTION 'sale % has orders', OLD.id USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER sale_kept BEFORE DELETE ON inventory_sale
    FOR EACH ROW EXECUTE FUNCTION orders_sale_kept();
CREATE TRIGGER sale_keeps_its_number BEFORE UPDATE OF id ON inventory_sale
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION orders_sale_kept();
CREATE FUNCTION orders_sale_there() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM inventory_sale WHERE id = NEW.sale_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no sale %', NEW.sale_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sale_there BEFORE INSERT ON orders_order
    FOR EACH ROW WHEN (NEW.product_id IS NULL) EXECUTE FUNCTION orders_sale_there();
"""

BACK = """
DROP TRIGGER sale_there ON orders_order;
DROP TRIGGER sale_keeps_its_number ON inventory_sale;
DROP TRIGGER sale_kept ON inventory_sale;
DROP FUNCTION orders_sale_there, orders_sale_kept;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0008_what_was_offered"),
        ("orders", "0003_figures"),
    ]

    operations = [
        migrations.AlterField(
            model_name="order",
            name="product",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orders",
                to="inventory.product",
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="sale",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orders",
                to="inventory.sale",
            ),
        ),
        migrations.RunSQL(SALE_KEPT, BACK),
    ]
