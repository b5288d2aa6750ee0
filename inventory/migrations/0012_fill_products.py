"""Make products of the variants that a shop has.

Variants of one name that share a sale become one product, as the page has shown them; so do variants of one name,
text and currency that were never in a sale. The order is that of the latest sale, whose first variant gives the text.

In batches, each a transaction of its own; what is done is not done again. The columns of the last release keep their
values. To go back gives variants that were made since the text and first picture of their product.
"""

from collections import Counter

from django.db import migrations, transaction
from django.db.models import Func, TextField, Value
from django.utils.text import slugify

NAMES = 200  # in one transaction
ACTIONS = ("add", "change", "delete", "view")

BACK = """
UPDATE inventory_product AS v SET
    catalogue_product_id = NULL,
    description = CASE WHEN v.description = '' THEN p.description ELSE v.description END,
    picture = CASE WHEN v.picture = '' THEN coalesce(f.file, '') ELSE v.picture END,
    picture_text = CASE WHEN v.picture = '' THEN coalesce(f.text, '') ELSE v.picture_text END,
    picture_width = CASE WHEN v.picture = '' THEN f.file_width ELSE v.picture_width END,
    picture_height = CASE WHEN v.picture = '' THEN f.file_height ELSE v.picture_height END
FROM catalogue_product AS p LEFT JOIN LATERAL (
    SELECT * FROM catalogue_picture WHERE product_id = p.id ORDER BY position, id LIMIT 1
) AS f ON TRUE
WHERE p.id = v.catalogue_product_id;
"""


def fill(apps, schema_editor):
    Variant = apps.get_model("inventory", "Variant")
    waiting = Variant.objects.filter(product=None)
    slugs = Slugs(apps.get_model("inventory", "Product").objects.values_list("slug", flat=True))
    while names := list(waiting.order_by("name").values_list("name", flat=True).distinct()[:NAMES]):
        with transaction.atomic():
            locked = waiting.select_for_update(no_key=True).filter(name__in=names).order_by("pk")
            make_products(apps, list(locked), slugs)


def make_products(apps, variants, slugs):
    Product, Picture = (apps.get_model("inventory", name) for name in ("Product", "Picture"))
    groups = group(apps, variants)
    products = Product.objects.bulk_create(
        Product(
            name=group[0].name,
            slug=slugs.free(group[0].name),
            description=Func(
                Value(group[0].description),
                function="catalogue_as_markdown",
                output_field=TextField(),
            ),
        )
        for group in groups
    )
    for product, group_ in zip(products, groups, strict=True):
        for position, variant in enumerate(group_):
            variant.product, variant.position = product, position
    apps.get_model("inventory", "Variant").objects.bulk_update(
        variants, ["product", "position"], batch_size=500
    )
    Picture.objects.bulk_create(
        Picture(
            product=product,
            position=position,
            file=variant.picture,
            file_width=variant.picture_width,
            file_height=variant.picture_height,
            text=variant.picture_text,
        )
        for product, group_ in zip(products, groups, strict=True)
        for position, variant in enumerate(distinct_pictures(group_))
    )


def group(apps, variants):
    """The variants in lists, one for each product."""
    Listing = apps.get_model("inventory", "Listing")
    listings = Listing.objects.filter(variant__in=variants).order_by(
        "-opens_at", "-sale_id", "position", "id"
    )
    by_key = {variant.pk: variant for variant in variants}
    first_seen, joined, of_sale = {}, {}, {}
    for listing in listings:
        key = listing.variant_id
        first_seen.setdefault(key, len(first_seen))
        together = of_sale.setdefault((listing.sale_id, by_key[key].name), key)
        joined[root(joined, key)] = root(joined, together)
    groups = {}
    for variant in sorted(variants, key=lambda v: (first_seen.get(v.pk, len(first_seen)), v.pk)):
        alone = (variant.name, variant.description, variant.currency)
        key = root(joined, variant.pk) if variant.pk in first_seen else alone
        groups.setdefault(key, []).append(variant)
    return list(groups.values())


def root(joined, key):
    while joined.get(key, key) != key:
        key = joined[key]
    return key


def distinct_pictures(variants):
    """The first variant with each picture. A file's name begins with the digest of its content."""
    pictured = [variant for variant in variants if variant.picture]
    by_digest = {}
    for variant in pictured:
        by_digest.setdefault(variant.picture.name.partition(".")[0].partition("_")[0], variant)
    return by_digest.values()


class Slugs:
    def __init__(self, taken):
        self._taken = {slug.lower() for slug in taken}
        self._tried = Counter()

    def free(self, name):
        plain = slugify(name)[:70].strip("-_") or "product"
        slug = plain
        while slug in self._taken:
            self._tried[plain] += 1
            slug = f"{plain}-{self._tried[plain] + 1}"
        self._taken.add(slug)
        return slug


def empty(apps, schema_editor):
    with transaction.atomic(), schema_editor.connection.cursor() as cursor:
        cursor.execute(BACK)
        cursor.execute("DELETE FROM catalogue_picture")
        cursor.execute("DELETE FROM catalogue_product")


# --- Permissions --------------------------------------------------------------------------------


def permissions_of_products(apps, schema_editor):
    """Permissions named after products belong to the new model: who had them edits products as before."""
    _move_permissions(apps, "product")


def permissions_of_variants(apps, schema_editor):
    _move_permissions(apps, "variant")


def _move_permissions(apps, model):
    ContentType = apps.get_model("contenttypes", "ContentType")
    names = [f"{action}_product" for action in ACTIONS]
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="inventory", codename__in=names
    )
    if permissions.exists():  # else a new shop: Django makes them after the migrations
        belongs, _ = ContentType.objects.get_or_create(app_label="inventory", model=model)
        for permission in permissions.exclude(content_type=belongs):
            _move(permission, belongs, permissions)


def _move(permission, belongs, permissions):
    """Django has made the other one if it migrated up to 0011 only, as `migrate orders` does."""
    made = permissions.filter(content_type=belongs, codename=permission.codename).first()
    if made is None:
        permissions.filter(pk=permission.pk).update(content_type=belongs)
        return
    made.group_set.add(*permission.group_set.all())
    made.user_set.add(*permission.user_set.all())
    permission.delete()


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("inventory", "0011_product"),
    ]

    operations = [
        migrations.RunPython(fill, empty),
        migrations.RunPython(permissions_of_products, permissions_of_variants),
    ]
