"""Edit products with their pictures and variants, on one page. Stock moves through the ledger only."""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard import controls
from dashboard.admin.base import Tool
from dashboard.admin.edited import BoundedRows, LabelledRows, positions_after
from dashboard.admin.history import audit_of
from dashboard.admin.pictures import WithPictures
from dashboard.admin.product_forms import (
    MOST_PICTURES,
    MOST_VARIANTS,
    PictureForm,
    ProductForm,
    VariantForm,
    VariantFormSet,
)
from dashboard.base_control import Control
from flashsale.templatetags.money import money
from inventory import stock
from inventory.models import Sale, Variant
from inventory.products import Picture, Product
from orders import stock_changes
from orders.audit_trail import Action, facts, write_down
from orders.offer_changes import announce_to_pages


class _PartOfProduct(BoundedRows):
    """Rows of a product's page, for all users who may edit the product."""

    fk_name = "product"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "view", "add", "change")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "add", "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "add", "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "add", "change")


def _may(request: HttpRequest, *actions: str) -> bool:
    return any(request.user.has_perm(f"inventory.{action}_product") for action in actions)


class PictureInline(_PartOfProduct):
    model = Picture
    form = PictureForm
    formset = LabelledRows
    extra = 2
    max_num = MOST_PICTURES
    fields = ["file", "text", "position"]
    verbose_name_plural = "Pictures, in the order in which the page shows them"


class VariantInline(_PartOfProduct):
    model = Variant
    form = VariantForm
    formset = VariantFormSet
    extra = 0
    max_num = MOST_VARIANTS
    show_change_link = True
    ordering = ["position", "pk"]
    readonly_fields = ["stock"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        typed = ["sku", "option", "price", "currency", "position", "stock"]
        return [*typed, "units", "reason"] if _may_restock(request) else typed

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **options)
        formset.form.user = request.user
        return formset

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "delete")


def _may_restock(request: HttpRequest) -> bool:
    return controls.Restock.permitted_to(request.user)


@admin.register(Product)
class ProductAdmin(WithPictures):
    form = ProductForm
    inlines = [PictureInline, VariantInline]
    list_display = ["picture", "name", "variants", "prices", "units"]
    list_display_links = ["picture", "name"]
    search_fields = ["name", "slug", "variants__sku"]
    prepopulated_fields = {"slug": ["name"]}

    # --- The list ------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).prefetch_related("pictures", "variants")

    @admin.display(description="picture")
    def picture(self, product: Product) -> str | SafeString:
        first = next(iter(product.pictures.all()), None)
        return _thumbnail(first) if first else "none"

    @admin.display(description="variants")
    def variants(self, product: Product) -> int:
        return len(product.variants.all())

    @admin.display(description="in stock")
    def units(self, product: Product) -> str:
        return f"{sum(variant.stock for variant in product.variants.all()):,}"

    @admin.display(description="price")
    def prices(self, product: Product) -> str:
        prices = {(variant.price, variant.currency) for variant in product.variants.all()}
        shown = [money(*price) for price in sorted(prices)]
        return " to ".join(dict.fromkeys([*shown[:1], *shown[-1:]]))

    # --- The page ------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Product | None = None) -> Any:
        fields = ["name", "slug", "description", "size_guide"]
        texts = (None, {"fields": fields})
        if not self._may_edit(request, obj):
            return [texts]
        if obj and _awaited(obj):
            fields.append("although_public")
        quick = ["options", ("new_price", "new_currency", "new_units", "stem"), "key"]
        if not _may_restock(request):
            quick[1] = ("new_price", "new_currency", "stem")
        several = {"fields": quick, "description": "Makes a variant of each option, when saved."}
        return [texts, ("Several variants at once", several)]

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Product | None = None
    ) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        form.user = request.user
        return form

    def tools(self, request: HttpRequest, subject: Product) -> list[Tool]:
        return [*super().tools(request, subject), *audit_of(request, product=subject.pk)]

    def _may_edit(self, request: HttpRequest, obj: Product | None) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)

    # --- Saving --------------------------------------------------------------------------------

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        changed, sales = _seen_by_shoppers(form, formsets)
        super().save_related(request, form, formsets, change)
        announce_to_pages(changed, sales)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is Variant:
            self._save_variants(request, form, formset)
        else:
            self._save_pictures(form.instance, formset)

    def _save_pictures(self, product: Product, formset: Any) -> None:
        present = dict(product.pictures.values_list("pk", "position"))
        positions = positions_after(present.values())
        formset.save(commit=False)
        for picture, position in zip(formset.new_objects, positions, strict=False):
            picture.position = position if picture.position is None else picture.position
            picture.save()
        for picture, changed in formset.changed_objects:
            if picture.pk in present:  # otherwise it was deleted while the form was open
                size = ["file_width", "file_height"] if "file" in changed else []
                picture.save(update_fields=[*changed, *size])
        for picture in formset.deleted_objects:
            picture.delete()

    def _save_variants(self, request: HttpRequest, form: Any, formset: Any) -> None:
        by, product = request.user.get_username(), form.instance
        present = {row.pk: row for row in stock.lock(f.instance.pk for f in formset.initial_forms)}
        for gone in formset.deleted_forms:
            if locked := present.get(gone.instance.pk):
                write_down(Action.DELETED, locked, facts(locked), by=by)
                locked.delete()
        moves: list[tuple[Control, Variant]] = []
        for row in formset.initial_forms:
            if (
                row.has_changed()
                and row not in formset.deleted_forms
                and row.instance.pk in present
            ):
                variant = present[row.instance.pk]
                _save_variant(variant, row, by)
                if units := row.cleaned_data.get("units"):
                    moves.append((_moving(variant, units, row, form.cleaned_data["key"]), variant))
        transaction.on_commit(partial(self._move_stock, request, moves))
        positions = positions_after(row.position for row in present.values())
        new = [row for row in formset.extra_forms if row.has_changed()]
        added = [(row.instance, row.cleaned_data.get("units")) for row in new]
        typed = [*(row.instance.position for row in new), *(None for _ in form.quick)]
        rows = zip([*added, *form.quick], typed, positions, strict=False)
        for (variant, units), place, position in rows:
            variant.product = product
            variant.position = position if place is None else place
            variant.save()
            write_down(Action.CREATED, variant, {}, by=by)
            if units:
                stock_changes.receive_first(variant, units, by=by)
        # Variants have audit entries of their own: the product's does not tell of them.
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []

    def _move_stock(self, request: HttpRequest, moves: list[tuple[Control, Variant]]) -> None:
        """After the commit: each move is a transaction that locks the sales of its variant."""
        for form, variant in moves:
            if not form.is_valid():
                self.message_user(request, f"{variant}: {form.errors.as_text()}", messages.ERROR)
        self.carry_out(request, [move for move in moves if move[0].is_valid()])


def _save_variant(present: Variant, row: Any, by: str) -> None:
    """Write the changed fields of a locked variant."""
    before = facts(present)
    changed = [name for name in row.fields_to_write() if name in VariantForm.Meta.fields]
    for name in changed:
        setattr(present, name, row.cleaned_data[name])
    if changed:
        present.save(update_fields=changed)
        write_down(Action.EDITED, present, before, by=by)


def _moving(variant: Variant, units: int, row: Any, key: UUID) -> Control:
    """The form that adds these units, or takes them away."""
    control = controls.Restock if units > 0 else controls.Correct
    return control([variant], {"units": units, "reason": row.cleaned_data["reason"], "key": key})


def _thumbnail(picture: Picture) -> SafeString:
    return format_html(
        '<img class="thumbnail" src="{}" alt="{}">', picture.file.smallest, picture.text
    )


def _awaited(product: Product) -> bool:
    """Whether a public sale that has not opened lists one of its variants."""
    sales = Sale.objects.filter(listings__variant__product=product, finished=False)
    return any(sale.phase(timezone.now()) == "upcoming" for sale in sales)


def _seen_by_shoppers(form: ProductForm, formsets: Any) -> tuple[set[str], list[Sale]]:
    """The fields that are changed, and the sales whose pages may show them."""
    if form.on_sale is None:
        return set(), []
    changed, variants = set(form.changed_data), set[int]()
    for formset in formsets:
        if formset.model is Picture and formset.has_changed():
            changed.add("pictures")
    of_product = bool(changed)
    for row in (row for formset in formsets if formset.model is Variant for row in formset.forms):
        if row.instance.pk in form.on_sale.variants and row.has_changed():
            changed |= row.fields_to_write()
            variants.add(row.instance.pk)
    if of_product:
        return changed, form.on_sale.sales()
    return changed, form.on_sale.sales(*variants) if variants else []
