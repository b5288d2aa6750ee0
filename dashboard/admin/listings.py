"""The variants that a draft of a sale lists, as rows of its page in admin."""

from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from dashboard.admin.edited import BoundedRows, LabelledRows
from inventory.models import Listing, Variant

MOST_LISTED = 200  # variants of a sale


class ListingFormSet(LabelledRows):
    """Checks the rows together with the variants of the products that the sale's form adds."""

    def clean(self) -> None:
        super().clean()
        rows = {form.cleaned_data["variant"]: form for form in self._kept()}
        listed = {*rows, *getattr(self.instance, "added_variants", ())}
        if len(listed) > MOST_LISTED:
            raise ValidationError(f"A sale lists at most {MOST_LISTED} variants.")
        if len({variant.currency for variant in listed}) > 1:
            raise ValidationError("The prices of a sale must be in one currency.")
        elsewhere = Listing.objects.filter(variant__in=listed, finished=False)
        for listing in elsewhere.exclude(sale=self.instance.pk).select_related("sale", "variant"):
            words = f"{listing.variant} is in “{listing.sale}”, which has not finished."
            if listing.variant not in rows:
                raise ValidationError(words)
            rows[listing.variant].add_error("variant", words)

    def _kept(self) -> list[forms.ModelForm]:  # type: ignore[type-arg]  # Django has no generics here
        gone = self.deleted_forms
        return [
            f for f in self.forms if f not in gone and getattr(f, "cleaned_data", {}).get("variant")
        ]


class VariantSelect(AutocompleteSelect):
    """Django's own asks PostgreSQL for the chosen variant: once for each row."""

    chosen: Variant | None = None

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        if self.chosen is None or list(value) != [str(self.chosen.pk)]:
            return super().optgroups(name, value, attrs)
        option = self.create_option(name, self.chosen.pk, str(self.chosen), selected=True, index=0)
        return [(None, [option], 0)]


class ListingForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no generics here
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "variant" in self.fields:
            self.fields["variant"].widget.widget.chosen = self.instance.variant


class ListingInline(BoundedRows):
    """The variants of a draft, for all users who may edit the draft."""

    model = Listing
    fk_name = "sale"
    form = ListingForm
    formset = ListingFormSet
    verbose_name = "variant"
    verbose_name_plural = "Variants, in the order in which the page shows them"
    extra = 0
    max_num = MOST_LISTED

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        formset = super().get_formset(request, obj, **options)
        if variant := formset.form.base_fields.get("variant"):
            # Beside a listing, "delete" would look as if it took the variant off the sale.
            variant.widget.can_delete_related = False
        return formset

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "variant":
            options["widget"] = VariantSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("sale", "variant")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("inventory.view_sale") or self._may_write(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_write(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_write(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_write(request)

    def _may_write(self, request: HttpRequest) -> bool:
        """Whether the user may edit drafts at all; the sale's own page decides about this one."""
        return any(request.user.has_perm(f"inventory.{may}_sale") for may in ("add", "change"))
