"""Base classes of the admin pages: controls that ask first, and pages that cannot be edited."""

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from dashboard.admin.odd_requests import CarefulAdmin
from dashboard.base_control import Control
from flashsale.middleware import try_again

MOST_AT_ONCE = 100  # subjects in one confirmation, whose URL names them all
PATIENCE = 20.0  # seconds for all of them; each may wait for a lock, or for a Redis that hangs

LEVELS = {
    "done": messages.SUCCESS,
    "repeated": messages.WARNING,
    "late": messages.WARNING,
    "asked": messages.WARNING,
    "refused": messages.ERROR,
    "unsure": messages.ERROR,
    "read_only": messages.ERROR,
}

Tool = tuple[str, str]  # a URL, and the text of its link


class StaffAdmin(CarefulAdmin):
    """Offers controls as actions of the list and as buttons of the page; each asks on a separate page.

    Nothing is deleted in bulk: whether a row may be deleted is decided one by one, under its lock.
    """

    controls: Sequence[type[Control]] = ()

    def described(self, subject: Any) -> str:
        """Describe a subject on the page that asks."""
        return str(subject)

    # --- The list offers the permitted controls ------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        if IS_POPUP_VAR in request.GET:
            return {}
        return {
            control.name: (partial(_ask, control), control.name, control.label)
            for control in self._permitted(request)
        }

    def _permitted(self, request: HttpRequest) -> list[type[Control]]:
        return [control for control in self.controls if control.permitted_to(request.user)]

    # --- The page of one subject offers those of them that fit ----------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        subject = context["original"]
        context["tools"] = self.tools(request, subject) if subject else []
        return super().render_change_form(request, context, *args, **kwargs)

    def tools(self, request: HttpRequest, subject: Any) -> list[Tool]:
        offered = [control for control in self._permitted(request) if control.fits(subject)]
        return [
            (self.page_of(control, [subject.pk], request), control.label) for control in offered
        ]

    def page_of(self, control: type[Control], keys: Iterable[Any], request: HttpRequest) -> str:
        """The URL of the page that asks about these subjects."""
        asked = urlencode([("id", str(key)) for key in keys])
        # Appended last: Django's filters would keep only one of several parameters with the same name.
        url = self._keeping_filters(request, self._address(control.name))
        return f"{url}{'&' if '?' in url else '?'}{asked}"

    # --- The page that asks --------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.confirm)
        pages = [
            path(f"{control.name}/", view, {"control": control}, name=self._name(control.name))
            for control in self.controls
        ]
        return [*pages, *super().get_urls()]

    def confirm(self, request: HttpRequest, control: type[Control]) -> HttpResponse:
        """Ask; once a valid form comes back, carry the control out on each subject."""
        if not (control.permitted_to(request.user) and self.has_view_permission(request)):
            raise PermissionDenied
        subjects = self._subjects(request)
        if not subjects:
            self.message_user(request, "Nothing was chosen that is still there.", messages.WARNING)
            return HttpResponseRedirect(self._back(request, subjects))
        if why_not := control.why_not(subjects):
            self.message_user(request, why_not, messages.ERROR)
            return HttpResponseRedirect(self._back(request, subjects))
        form = control(
            subjects,
            request.POST if request.method == "POST" else None,
            initial=control.initial_for(subjects),
        )
        if not form.is_valid():
            return self._question(request, form, subjects)
        if not self.carry_out(request, [(form, subject) for subject in subjects]):
            return try_again(request, "read_only")
        return HttpResponseRedirect(self._back(request, subjects))

    def _subjects(self, request: HttpRequest) -> list[Any]:
        try:
            chosen = self.get_queryset(request).filter(pk__in=request.GET.getlist("id"))
            return list(chosen.order_by("pk")[:MOST_AT_ONCE])
        except (ValidationError, ValueError) as malformed:
            raise Http404 from malformed

    def _question(
        self, request: HttpRequest, form: Control, subjects: Sequence[Any]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": form.label,
            "opts": self.opts,
            "form": form,
            "subjects": [self._describe(request, form, each) for each in subjects],
            "back": self._back(request, subjects),
        }
        return TemplateResponse(request, "admin/confirm.html", context)

    def _describe(self, request: HttpRequest, form: Control, subject: Any) -> tuple[Any, ...]:
        return self._page(request, subject), self.described(subject), form.warnings(subject)

    def carry_out(self, request: HttpRequest, changes: Sequence[tuple[Control, Any]]) -> bool:
        """Carry each valid form out on its subject, and say what happened. False if PostgreSQL can only
        be read: then no other is tried."""
        end = time.monotonic() + PATIENCE
        for done, (form, subject) in enumerate(changes):
            if time.monotonic() > end:
                words = f"{len(changes) - done} more were not tried: the others took too long."
                self.message_user(request, words, messages.ERROR)
                break
            outcome = form.carry_out(subject, by=request.user.get_username())
            self.message_user(request, outcome.words, LEVELS[outcome.kind])
            if outcome.kind == "read_only":
                return False
        return True

    def _back(self, request: HttpRequest, subjects: Sequence[Any]) -> str:
        """The URL of the only subject's page, else of the list with its filters."""
        if len(subjects) == 1:
            return self._page(request, subjects[0])
        return self._keeping_filters(request, self._address("changelist"))

    def _page(self, request: HttpRequest, subject: Model) -> str:
        return self._keeping_filters(request, self._address("change", subject.pk))

    # --- Addresses -----------------------------------------------------------------------------

    def _name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _address(self, page: str, *keys: Any) -> str:
        return reverse(f"admin:{self._name(page)}", args=keys)

    def _keeping_filters(self, request: HttpRequest, url: str) -> str:
        kept: Any = {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts}
        return str(add_preserved_filters(kept, url))


def _ask(
    control: type[Control], page: StaffAdmin, request: HttpRequest, chosen: "QuerySet[Any]"
) -> HttpResponse | None:
    """Redirect a list's action to the page that asks. Changes nothing itself."""
    keys = list(chosen.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(keys) > MOST_AT_ONCE:
        page.message_user(request, f"At most {MOST_AT_ONCE} at once.", messages.ERROR)
        return None
    return HttpResponseRedirect(page.page_of(control, keys, request))


class ReadOnly(StaffAdmin):
    """Lets no user add, change or delete rows, superusers included."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
