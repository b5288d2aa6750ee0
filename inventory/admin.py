"""Staff's view of what is for sale. Stock, ledger and the life of a sale are only shown: they change
through functions that lock, keep the books and tell the gate."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from inventory.models import Listing, Product, Sale, StockMovement
from inventory.pictures import encoded_anew
from inventory.refusals import said_by


class ShowsRefusals(admin.ModelAdmin):  # type: ignore[type-arg]  # Django has no generics here
    """PostgreSQL holds the rules; what it refuses is an error of the form, not of the server."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError as refusal:
            for name in request.FILES:
                request.FILES[name].seek(0)  # type: ignore[union-attr]  # one file: read once more
            request.refusal = said_by(refusal)  # type: ignore[attr-defined]  # for `get_form`
            return super().changeform_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        refusal = getattr(request, "refusal", None)
        return _refused(form, refusal) if refusal else form


def _refused(form: Any, refusal: str) -> Any:
    """The form that shows what was typed again, and why it was refused."""

    class Refused(form):  # type: ignore[misc]  # a class made by the admin
        def clean(self) -> Any:
            super().clean()
            raise ValidationError(refusal)

    return Refused


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # Django has no generics here
    """Nothing can be added, changed or deleted here, by anybody."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


# --- Products --------------------------------------------------------------------------------


class ProductForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no generics here
    def clean_picture(self) -> Any:
        """A new picture is encoded anew; False, which stands for "remove it", stays."""
        picture = self.cleaned_data["picture"]
        return encoded_anew(picture) if isinstance(picture, UploadedFile) else picture

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.cleaned_data.get("picture") and not self.cleaned_data.get("picture_text"):
            self.add_error("picture_text", "A picture needs a text for those who cannot see it.")
        return cleaned


@admin.register(Product)
class ProductAdmin(ShowsRefusals):
    form = ProductForm
    list_display = ["sku", "name", "option", "price", "currency", "stock"]
    search_fields = ["sku", "name"]
    fields = [
        *("sku", "name", "option", "description", "picture", "picture_text"),
        *("price", "currency", "stock"),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> list[str]:
        return ["stock", "sku"] if obj else ["stock"]

    def save_model(self, request: HttpRequest, obj: Product, form: Any, change: bool) -> None:
        """Writes only what was changed: the stock that the page was made with may be an old one."""
        if not change:
            obj.save()
        elif form.changed_data:
            before = Product.objects.get(pk=obj.pk).picture
            obj.save(update_fields=form.changed_data)
            if before and before.name != obj.picture.name:
                transaction.on_commit(_removal(before))


def _removal(picture: Any) -> Callable[[], None]:
    return lambda: picture.storage.delete(picture.name)


# --- Sales -----------------------------------------------------------------------------------


class ListingInline(admin.TabularInline):  # type: ignore[type-arg]  # Django has no generics here
    model = Listing
    autocomplete_fields = ["product"]
    extra = 1


class SaleForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no generics here
    limit = forms.IntegerField(min_value=1, initial=1, help_text="units per shopper")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        opens_at, closes_at = cleaned.get("opens_at"), cleaned.get("closes_at")
        if opens_at and closes_at and opens_at >= closes_at:
            self.add_error("closes_at", "It must close after it opens.")
        return cleaned


@admin.register(Sale)
class SaleAdmin(ShowsRefusals):
    """A draft is edited here. Later changes must raise the sale's version and tell the gate."""

    form = SaleForm
    inlines = [ListingInline]
    list_display = ["name", "status", "opens_at", "closes_at", "limit"]
    list_filter = ["status"]
    search_fields = ["slug", "name"]
    fields = [
        *("name", "slug", "opens_at", "closes_at", "time_zone", "limit"),
        *("status", "version", "epoch", "finished"),
    ]
    readonly_fields = ["status", "version", "epoch", "finished"]
    prepopulated_fields = {"slug": ["name"]}

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Sale | None:
        """Locked while it is changed, so that what is a draft now is still one when it is saved."""
        sale: Sale | None = super().get_object(request, object_id, from_field)
        if sale and connection.in_atomic_block:
            return Sale.objects.select_for_update(no_key=True).get(pk=sale.pk)
        return sale

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Sale | None = None
    ) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    def has_change_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        return _may_be_edited(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        return _may_be_edited(obj) and super().has_delete_permission(request, obj)


def _may_be_edited(sale: Sale | None) -> bool:
    return sale is None or sale.status == Sale.Status.DRAFT


# --- The ledger ------------------------------------------------------------------------------


@admin.register(StockMovement)
class StockMovementAdmin(ReadOnly):
    list_display = ["at", "product", "delta", "balance", "reason", "note", "sale", "order", "actor"]
    list_filter = ["reason"]
    list_select_related = ["product", "sale"]
    search_fields = ["product__sku", "order__exact", "actor"]
    show_full_result_count = False
