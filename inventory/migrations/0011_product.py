"""Add products and their pictures; variants belong to them.

Only additions: processes of the last release go on during the upgrade. They know variants with name, description and
picture, so these columns stay, with defaults; `docs/decisions/0023-products-beside-their-variants.md`.
"""

import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models

import inventory.names
import inventory.pictures

# A plain text as Markdown that looks the same: each character that Markdown could read is escaped, each line break
# is kept, and a blank line begins a paragraph.
AS_MARKDOWN = r"""
CREATE FUNCTION catalogue_as_markdown(plain text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(
        regexp_replace(
            regexp_replace(btrim(plain, E' \t\r\n'), '([][\\`*_{}()<>#+.!|~&:=-])', '\\\1', 'g'),
            '[ \t]*\r?\n[ \t]*', E'\n', 'g'),
        '(?<!\n)\n(?!\n)', E'\\\\\n', 'g')
$$;
"""

# A variant has the name of its product. An insert without a product is one of the last release: it makes its
# product. That release cannot edit what belongs to the product: its staff get this error in their form.
VARIANT_FOLLOWS = """
CREATE FUNCTION catalogue_variant_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.catalogue_product_id IS NULL THEN
        NEW.catalogue_product_id := nextval(pg_get_serial_sequence('catalogue_product', 'id'));
        INSERT INTO catalogue_product (id, name, slug, description, size_guide)
        OVERRIDING SYSTEM VALUE
        VALUES (
            NEW.catalogue_product_id, NEW.name,
            concat_ws('-',
                nullif(btrim(left(regexp_replace(lower(NEW.name), '[^a-z0-9]+', '-', 'g'), 60), '-'), ''),
                'product', NEW.catalogue_product_id),
            catalogue_as_markdown(NEW.description), '');
        IF NEW.picture <> '' THEN
            INSERT INTO catalogue_picture (product_id, position, file, file_width, file_height, text)
            VALUES (NEW.catalogue_product_id, 0, NEW.picture, NEW.picture_width, NEW.picture_height,
                    NEW.picture_text);
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.catalogue_product_id IS NOT NULL
        AND NEW.catalogue_product_id IS NOT NULL AND (
        (OLD.description, OLD.picture, OLD.picture_text)
            IS DISTINCT FROM (NEW.description, NEW.picture, NEW.picture_text)
        OR (NEW.name <> OLD.name
            AND NEW.name <> (SELECT name FROM catalogue_product WHERE id = NEW.catalogue_product_id))
    ) THEN
        RAISE EXCEPTION 'name, texts and pictures of % belong to its product: edit that', NEW.sku
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.catalogue_product_id IS NOT NULL THEN
        -- Locked, so that a new name reaches every variant.
        SELECT name INTO NEW.name FROM catalogue_product WHERE id = NEW.catalogue_product_id FOR SHARE;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER variant_has_product BEFORE INSERT ON inventory_product
    FOR EACH ROW EXECUTE FUNCTION catalogue_variant_follows();
CREATE TRIGGER variant_follows_product BEFORE UPDATE ON inventory_product
    FOR EACH ROW
    WHEN ((OLD.name, OLD.description, OLD.picture, OLD.picture_text, OLD.catalogue_product_id)
        IS DISTINCT FROM (NEW.name, NEW.description, NEW.picture, NEW.picture_text, NEW.catalogue_product_id))
    EXECUTE FUNCTION catalogue_variant_follows();

CREATE FUNCTION catalogue_rename_variants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- By key, the order of all locks on variants.
    PERFORM FROM inventory_product WHERE catalogue_product_id = NEW.id ORDER BY id FOR NO KEY UPDATE;
    UPDATE inventory_product SET name = NEW.name WHERE catalogue_product_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER product_renames_variants AFTER UPDATE OF name ON catalogue_product
    FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION catalogue_rename_variants();
"""
VARIANT_FREE = """
DROP TRIGGER variant_has_product ON inventory_product;
DROP TRIGGER variant_follows_product ON inventory_product;
DROP TRIGGER product_renames_variants ON catalogue_product;
DROP FUNCTION catalogue_variant_follows, catalogue_rename_variants;
"""

WITH_DEFAULTS = """
ALTER TABLE inventory_product
    ALTER COLUMN description SET DEFAULT '', ALTER COLUMN picture SET DEFAULT '',
    ALTER COLUMN picture_text SET DEFAULT '';
"""
WITHOUT_DEFAULTS = """
ALTER TABLE inventory_product
    ALTER COLUMN description DROP DEFAULT, ALTER COLUMN picture DROP DEFAULT,
    ALTER COLUMN picture_text DROP DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0010_names")]

    operations = [
        migrations.AlterModelOptions(
            "Variant",
            {"ordering": ["sku"], "permissions": [("correct_stock", "Can correct stock")]},
        ),
        migrations.CreateModel(
            "Product",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", inventory.names.LineField(max_length=120)),
                (
                    "slug",
                    models.SlugField(
                        blank=True, help_text="Empty: made from the name.", max_length=80
                    ),
                ),
                ("description", inventory.names.TextField(blank=True, help_text="In Markdown.")),
                (
                    "size_guide",
                    inventory.names.TextField(
                        blank=True,
                        help_text="In Markdown, with tables. The page shows it when asked for.",
                    ),
                ),
            ],
            options={"db_table": "catalogue_product", "ordering": ["name", "id"]},
        ),
        migrations.CreateModel(
            "Picture",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "file",
                    models.ImageField(
                        upload_to=inventory.pictures.picture_path, verbose_name="picture"
                    ),
                ),
                ("file_width", models.PositiveIntegerField(editable=False, null=True)),
                ("file_height", models.PositiveIntegerField(editable=False, null=True)),
                (
                    "text",
                    inventory.names.LineField(
                        help_text="For those who cannot see the picture.",
                        max_length=200,
                        verbose_name="alternative text",
                    ),
                ),
                (
                    "product",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pictures",
                        to="inventory.product",
                    ),
                ),
            ],
            options={"db_table": "catalogue_picture", "ordering": ["position", "id"]},
        ),
        migrations.AddConstraint(
            "Product",
            models.UniqueConstraint(
                django.db.models.functions.text.Lower("slug"),
                name="product_slug_once",
                violation_error_message="Another product has this slug.",
            ),
        ),
        migrations.AddConstraint(
            "Product",
            models.CheckConstraint(
                condition=models.Q(("slug__regex", "^[A-Za-z0-9_-]+$")), name="product_slug_plain"
            ),
        ),
        migrations.AddConstraint(
            "Picture",
            models.CheckConstraint(
                condition=models.Q(("file", ""), _negated=True), name="picture_has_file"
            ),
        ),
        migrations.AddConstraint(
            "Picture",
            models.CheckConstraint(
                condition=models.Q(("text", ""), _negated=True), name="picture_has_text"
            ),
        ),
        migrations.AddField(
            "Variant",
            "product",
            models.ForeignKey(
                db_column="catalogue_product_id",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="variants",
                to="inventory.product",
            ),
        ),
        migrations.AddField(
            "Variant", "position", models.PositiveSmallIntegerField(db_default=0, default=0)
        ),
        migrations.AlterField(
            "Variant",
            "name",
            inventory.names.LineField(blank=True, db_default="", editable=False, max_length=120),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(WITH_DEFAULTS, WITHOUT_DEFAULTS)],
            state_operations=[
                migrations.AlterField(
                    "Listing",
                    "variant",
                    models.ForeignKey(
                        db_column="product_id",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="listings",
                        to="inventory.variant",
                    ),
                ),
                migrations.AlterField(
                    "StockMovement",
                    "variant",
                    models.ForeignKey(
                        db_column="product_id",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="movements",
                        to="inventory.variant",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(AS_MARKDOWN, "DROP FUNCTION catalogue_as_markdown"),
        migrations.RunSQL(VARIANT_FOLLOWS, VARIANT_FREE),
    ]
