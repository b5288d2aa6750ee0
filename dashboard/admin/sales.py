"""Edit drafts of sales; a scheduled sale changes by controls only."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from dashboard import controls
from dashboard.admin import entry_fields
from dashboard.admin.base import Tool
from dashboard.admin.checkout_fields import RULES, CheckoutFields
from dashboard.admin.edited import Edited, SideBySide, positions_after
from dashboard.admin.history import audit_of
from dashboard.admin.listings import ListingInline
from dashboard.moment_field import MomentField, TwoInputs
from dashboard.order_export import LABEL, Chosen
from dashboard.zone_select import ZoneSelect, zones_in_use
from flashsale.database import stop_preparing
from flashsale.moments import find_zone, format_moment, format_window
from inventory.models import MOST_UNITS, Listing, Sale, Variant, time_zones
from inventory.products import Product
from orders.network_bound import describe_proposals

Status = Sale.Status


# --- Drafts --------------------------------------------------------------------------------------


class SaleForm(CheckoutFields, entry_fields.EntryFields, SideBySide):
    products = forms.ModelMultipleChoiceField(
        Product.objects.all(),
        required=False,
        label="Add products",
        help_text="Lists all variants of each, in this order, below what is listed already.",
        widget=AutocompleteSelectMultiple(Variant._meta.get_field("product"), admin.site),
    )
    limit = forms.IntegerField(
        min_value=1, max_value=MOST_UNITS, initial=1, help_text="units per shopper"
    )

    opens_at = MomentField(widget=TwoInputs, help_text="by the clocks of the time zone")
    closes_at = MomentField(widget=TwoInputs, help_text="by the clocks of the time zone")

    class Meta:
        widgets = {"time_zone": ZoneSelect, **CheckoutFields.widgets}
        help_texts = {
            "time_zone": "All times of the sale are typed and shown in it."
            " Another zone keeps the clock times below: 18:00 stays 18:00, there."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._zone = self._find_zone()
        for field in self.fields.values():
            if isinstance(field, MomentField):
                field.read_in(self._zone)

    def _find_zone(self) -> str:
        """The zone of the typed and shown times: the chosen one."""
        if not self.is_bound:
            zone = str(self.initial.get("time_zone") or self.instance.time_zone)
            return zone if zone in time_zones() else "UTC"
        if self._is_of_an_older_release():
            return "UTC"
        chosen = self.data.get(self.add_prefix("time_zone"), "")
        return chosen if chosen in time_zones() else "UTC"

    def _is_of_an_older_release(self) -> bool:
        """Whether the page was shown by a release whose pages said "in UTC" beside the times."""
        return self.add_initial_prefix("opens_at") not in self.data

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        opens_at, closes_at = cleaned.get("opens_at"), cleaned.get("closes_at")
        now = timezone.now()
        if opens_at and closes_at and opens_at >= closes_at:
            self.add_error("closes_at", f"It must close after it opens. Both are in {self._zone}.")
        elif closes_at and closes_at <= now:
            words = f"It is {format_moment(now, self._zone)} now in {self._zone}."
            self.add_error("closes_at", f"This is in the past: no shopper could buy. {words}")
        self.instance.added_variants = self._find_added_variants()  # for the rows below
        return cleaned

    def _find_added_variants(self) -> list[Variant]:
        """The variants of the chosen products, in the order in which staff chose them."""
        if "products" not in self.cleaned_data:
            return []
        order = self["products"].data
        products = self.cleaned_data["products"].prefetch_related("variants")
        found = []
        for product in sorted(products, key=lambda product: order.index(str(product.pk))):
            variants = sorted(product.variants.all(), key=lambda v: (v.position, v.pk))
            if not variants:
                self.add_error("products", f"{product} has no variants.")
            found += variants
        return found


@admin.register(Sale)
class SaleAdmin(Edited):
    form = SaleForm
    inlines = [ListingInline]
    controls = controls.OF_SALES
    list_display = ["name", "state", "confirmed", "opens", "closes", "limit"]
    list_filter = ["status"]
    search_fields = ["slug", "name"]
    ordering = ["-opens_at", "-id"]
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["state", "window", "proposed", "held", "confirmed", "finished", "version"]
    entry_shown = ["drawn", *entry_fields.RULES[1:]]

    @admin.display(description="state")
    def state(self, sale: Sale) -> str:
        return sale.state(timezone.now())

    @admin.display(description="opens", ordering="opens_at")
    def opens(self, sale: Sale) -> str:
        return format_moment(sale.opens_at, sale.time_zone)

    @admin.display(description="closes", ordering="closes_at")
    def closes(self, sale: Sale) -> str:
        return format_moment(sale.closes_at, sale.time_zone)

    @admin.display(description="draw")
    def drawn(self, sale: Sale) -> str:
        if sale.draw_at is None:
            return sale.Draw.NONE.label
        return f"{format_moment(sale.draw_at, sale.time_zone)}: {sale.get_draw_display()}"

    @admin.display(description="as shoppers read it")
    def window(self, sale: Sale) -> str:
        return format_window(sale.opens_at, sale.closes_at, sale.time_zone)

    @admin.display(description="proposed per network")
    def proposed(self, sale: Sale) -> str:
        return f"{describe_proposals(sale)} (units from one address)"

    def described(self, subject: Sale) -> str:
        return f"{subject}: {self.state(subject)}, {self.window(subject)}"

    def tools(self, request: HttpRequest, subject: Sale) -> list[Tool]:
        found = super().tools(request, subject)
        if request.user.has_perm("orders.view_order"):
            found.append(
                (f"{reverse('admin:orders_order_changelist')}?sale={subject.pk}", "Orders")
            )
            if subject.status != Status.DRAFT:
                found.append((Chosen(subject).address, LABEL))
        found += audit_of(request, sale=subject.pk)
        if subject.status != Status.DRAFT:
            found.append((f"/sales/{subject.slug}/", "What shoppers see"))
        return found

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        [listings] = formsets
        added = [form_.instance.variant_id for form_ in listings.forms if form_.has_changed()]
        _list_variants(form.instance, form.instance.added_variants, besides=added)
        super().save_related(request, form, formsets, change)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's own log of the pages' changes, in the sale's time zone."""
        zone = getattr(self.get_object(request, unquote(object_id)), "time_zone", "UTC")
        with timezone.override(find_zone(zone)):
            page = super().history_view(request, object_id, {"subtitle": f"Times in {zone}"})
            return page.render() if isinstance(page, TemplateResponse) else page

    # --- Only a draft is edited or deleted -----------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Sale | None:
        """Lock the sale while it is edited, so that a draft is still a draft when it is saved."""
        sale: Sale | None = super().get_object(request, object_id, from_field)
        if sale and connection.in_atomic_block:
            stop_preparing()
            return Sale.objects.select_for_update(no_key=True).filter(pk=sale.pk).first()
        return sale

    def get_fieldsets(self, request: HttpRequest, obj: Sale | None = None) -> Any:
        first = ("name", "slug", "time_zone")
        if obj and obj.status != Status.DRAFT:
            fields = [*first, "opens", "closes", "limit", *self.readonly_fields]
            entry = self.entry_shown
        else:
            fields = [*first, "opens_at", "closes_at", "limit", "products"]
            fields += ["state", "window", "proposed"] if obj else []
            entry = entry_fields.RULES
        return [
            (None, {"fields": fields}),
            ("Who gets units", {"fields": entry}),
            ("Checkout", {"fields": RULES}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Sale | None = None) -> Any:
        return [*super().get_readonly_fields(request, obj), "drawn"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"time_zone": zones_in_use()[0], **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Sale, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "time_zone" in form.changed_data:
            in_utc = format_window(obj.opens_at, obj.closes_at, "UTC")
            words = f"The times are in {obj.time_zone} now: {self.window(obj)}, which is {in_utc}."
            self.message_user(request, words, messages.WARNING)

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Sale | None = None
    ) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    def has_change_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        return _may_be_edited(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        return _may_be_edited(obj) and super().has_delete_permission(request, obj)


def _list_variants(sale: Sale, variants: list[Variant], besides: list[int]) -> None:
    """List the variants that are not listed yet, after the others."""
    listed = dict(sale.listings.values_list("variant", "position"))
    added = [each for each in variants if each.pk not in listed and each.pk not in besides]
    for variant, position in zip(added, positions_after(listed.values()), strict=False):
        Listing.objects.create(sale=sale, variant=variant, position=position)


def _may_be_edited(sale: Sale | None) -> bool:
    return sale is None or sale.status == Status.DRAFT
