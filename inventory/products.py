"""Shown to shoppers as one thing: a product with its pictures. Its variants are sold: see
`inventory/models.py`."""

from itertools import count
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.text import slugify

from flashsale.characters import isolate
from inventory.names import LineField, TextField
from inventory.pictures import PictureField, picture_path

_LONGEST_SLUG = 80


class Product(models.Model):
    """A product: name, texts and pictures, for all of its variants.

    A trigger keeps a copy of the name in each variant (`inventory/migrations/0011_product.py`).
    """

    name = LineField(max_length=120)
    slug = models.SlugField(
        max_length=_LONGEST_SLUG, blank=True, help_text="Empty: made from the name."
    )
    description = TextField(blank=True, help_text="In Markdown.")
    size_guide = TextField(
        blank=True, help_text="In Markdown, with tables. The page shows it when asked for."
    )

    class Meta:
        db_table = "catalogue_product"
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                Lower("slug"),
                name="product_slug_once",
                violation_error_message="Another product has this slug.",
            ),
            models.CheckConstraint(
                condition=Q(slug__regex="^[A-Za-z0-9_-]+$"), name="product_slug_plain"
            ),
        ]

    def __str__(self) -> str:
        return isolate(self.name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.clean()
        super().save(*args, **kwargs)

    def clean(self) -> None:
        self.slug = self.slug or free_slug(self.name)


def free_slug(name: str) -> str:
    """A slug made from the name, with a number if another product has it."""
    plain = slugify(name)[: _LONGEST_SLUG - 8].strip("-_") or "product"
    lowered = Product.objects.annotate(lowered=Lower("slug"))
    if not lowered.filter(lowered=plain).exists():  # by index
        return plain
    taken = lowered.filter(lowered__startswith=f"{plain}-").values_list("lowered", flat=True)
    known = set(taken)
    return next(slug for n in count(2) if (slug := f"{plain}-{n}") not in known)


class Picture(models.Model):
    """A picture of a product."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="pictures")
    position = models.PositiveSmallIntegerField(default=0)
    file = PictureField("picture", upload_to=picture_path)
    # In pixels. The width determines which smaller copies exist.
    file_width = models.PositiveIntegerField(null=True, editable=False)
    file_height = models.PositiveIntegerField(null=True, editable=False)
    text = LineField(
        "alternative text", max_length=200, help_text="For those who cannot see the picture."
    )

    class Meta:
        db_table = "catalogue_picture"
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(condition=~Q(file=""), name="picture_has_file"),
            models.CheckConstraint(condition=~Q(text=""), name="picture_has_text"),
        ]

    def __str__(self) -> str:
        return isolate(self.text)
