"""Show access codes, read-only: `manage.py codes` makes them. Who may view them may buy with them."""

from django.contrib import admin
from django.contrib.admin.options import ShowFacets
from django.db.models import Count, Q, QuerySet, TextField
from django.db.models.expressions import RawSQL
from django.http import HttpRequest

from accounts.access_codes import canonical, spell
from accounts.models import AccessCode
from dashboard.admin.base import ReadOnly
from flashsale.moments import format_moment

_SALES = """
SELECT string_agg(slug, ', ' ORDER BY opens_at) FROM inventory_sale
WHERE id = ANY(accounts_accesscode.sales)
"""


@admin.register(AccessCode)
class AccessCodeAdmin(ReadOnly):
    list_display = ["spelt", "label", "slugs", "shoppers", "used", "opens"]
    list_filter = ["label"]
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()
    search_fields = ["=code", "label"]
    search_help_text = "A code, or a part of a label."
    fields = ["spelt", "label", "slugs", "shoppers", "used", "opens"]

    @admin.display(description="code")
    def spelt(self, code: AccessCode) -> str:
        return spell(code.code)

    @admin.display(description="sales")
    def slugs(self, code: AccessCode) -> str:
        return getattr(code, "sale_slugs", "") or "none that is left"

    @admin.display(description="used")
    def used(self, code: AccessCode) -> int:
        return int(getattr(code, "times_used", 0))

    @admin.display(description="opens them")
    def opens(self, code: AccessCode) -> str:
        return format_moment(code.opens_at, "UTC") if code.opens_at else "when they open"

    def described(self, subject: AccessCode) -> str:
        return f"{spell(subject.code)}: {self.slugs(subject)}"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[AccessCode]":
        codes: QuerySet[AccessCode] = super().get_queryset(request)
        return codes.annotate(
            sale_slugs=RawSQL(_SALES, (), output_field=TextField()),  # noqa: S611  # a constant
            times_used=Count("uses", filter=Q(uses__again=False)),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[AccessCode]", search_term: str
    ) -> tuple["QuerySet[AccessCode]", bool]:
        """A code is found however it is spelt."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        if code := canonical(search_term):
            found = found | queryset.filter(code=code)
        return found, duplicates
