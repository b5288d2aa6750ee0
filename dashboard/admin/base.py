"""What the pages of staff have in common: controls that ask first, refusals in words, the audit."""

import json
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from dashboard.controls import Control
from flashsale.database import bounded_transaction
from inventory.constraint_messages import explain
from orders.audit import Action, facts, write_down
from orders.models import AuditEntry

MOST_AT_ONCE = 100  # in one confirmation, whose address names them all
PATIENCE = 20.0  # seconds; each of them may wait for a lock, or for a Redis that is silent

_LEVELS = {
    "done": messages.SUCCESS,
    "repeated": messages.WARNING,
    "late": messages.WARNING,
    "refused": messages.ERROR,
    "unsure": messages.ERROR,
}

Tool = tuple[str, str]  # an address, and what its link says


class StaffAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django has no generics here
    """A list whose actions, and a page whose buttons, are controls: each asks on a page of its own.

    Nothing is deleted in bulk: whether something may be is decided one by one, under its lock.
    """

    controls: Sequence[type[Control]] = ()

    def described(self, subject: Any) -> str:
        """What the page that asks says about each subject."""
        return str(subject)

    # --- The list offers what is permitted -----------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        if IS_POPUP_VAR in request.GET:
            return {}
        return {
            control.name: (partial(_ask, control), control.name, control.label)
            for control in self._permitted(request)
        }

    def _permitted(self, request: HttpRequest) -> list[type[Control]]:
        return [control for control in self.controls if control.permitted_to(request.user)]

    # --- The page of one subject offers what fits as well --------------------------------------

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
        """The address of the page that asks about these."""
        asked = urlencode([("id", str(key)) for key in keys])
        # Appended last: Django keeps only one of several parameters with the same name.
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
        """Asks; and once a valid form comes back, does it to each subject."""
        if not (control.permitted_to(request.user) and self.has_view_permission(request)):
            raise PermissionDenied
        subjects = self._subjects(request)
        if not subjects:
            self.message_user(request, "Nothing was chosen that is still there.", messages.WARNING)
            return HttpResponseRedirect(self._back(request, subjects))
        form = control(
            request.POST if request.method == "POST" else None,
            initial=control.current(subjects[0]) if len(subjects) == 1 else {},
        )
        if not form.is_valid():
            return self._question(request, form, subjects)
        self._carry_out(request, form, subjects)
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
            "subjects": [(self._page(request, each), self.described(each)) for each in subjects],
            "back": self._back(request, subjects),
        }
        return TemplateResponse(request, "admin/confirm.html", context)

    def _carry_out(self, request: HttpRequest, form: Control, subjects: Sequence[Any]) -> None:
        end = time.monotonic() + PATIENCE
        for done, subject in enumerate(subjects):
            if time.monotonic() > end:
                words = f"{len(subjects) - done} more were not tried: the others took too long."
                self.message_user(request, words, messages.ERROR)
                return
            outcome = form.carry_out(subject, by=request.user.get_username())
            self.message_user(request, outcome.words, _LEVELS[outcome.kind])

    def _back(self, request: HttpRequest, subjects: Sequence[Any]) -> str:
        """To the page of the only subject, else to the list as it was left."""
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
    """The action of a list: leads to the page that asks. It changes nothing itself."""
    keys = list(chosen.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(keys) > MOST_AT_ONCE:
        page.message_user(request, f"At most {MOST_AT_ONCE} at once.", messages.ERROR)
        return None
    return HttpResponseRedirect(page.page_of(control, keys, request))


class ReadOnly(StaffAdmin):
    """Nothing can be added, changed or deleted here, by anybody."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class SideBySide(forms.ModelForm):  # type: ignore[type-arg]  # Django has no generics here
    """Knows what its page was made with: two who edit different things at once keep each other's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = not isinstance(field, forms.FileField)


class Edited(StaffAdmin):
    """What is written here by hand: each change leaves a row of the audit, in its transaction.

    PostgreSQL holds the rules; what it refuses is an error of the form, not of the server.
    """

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, *args, **kwargs)
        try:
            with bounded_transaction():
                return super().changeform_view(request, *args, **kwargs)
        except IntegrityError as refusal:
            for name in request.FILES:
                request.FILES[name].seek(0)  # type: ignore[union-attr]  # one file: read once more
            request.refusal = explain(refusal)  # type: ignore[attr-defined]  # for `get_form`
            return super().changeform_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        refusal = getattr(request, "refusal", None)
        return _refused(form, refusal) if refusal else form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Writes what was changed on this page, over everything else as it stands."""
        form.before = {}
        if change:
            stands = self.locked(obj)
            form.before = facts(stands)
            for field in obj._meta.concrete_fields:
                if field.name not in form.changed_data:
                    setattr(obj, field.attname, getattr(stands, field.attname))
        super().save_model(request, obj, form, change)

    def locked(self, subject: Any) -> Any:
        """The subject as it stands, its row locked by this transaction."""
        return self.model._default_manager.select_for_update(no_key=True).get(pk=subject.pk)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        said = self.construct_change_message(request, form, formsets, add=not change)
        if said:
            write_down(
                Action.EDITED if change else Action.CREATED,
                form.instance,
                form.before,
                by=request.user.get_username(),
                reason=_in_words(said),
            )
        _refuse_now()

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method != "POST":
            return super().delete_view(request, object_id, extra_context)
        try:
            with bounded_transaction():
                return super().delete_view(request, object_id, extra_context)
        except IntegrityError as refusal:
            self.message_user(request, explain(refusal), messages.ERROR)
            return HttpResponseRedirect(self._address("change", object_id))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        by = request.user.get_username()
        write_down(Action.DELETED, obj, facts(obj), by=by)
        super().delete_model(request, obj)
        _refuse_now()


def _refused(form: Any, refusal: str) -> Any:
    """The form that shows what was typed again, and why it was refused."""

    class Refused(form):  # type: ignore[misc]  # a class made by the admin
        def clean(self) -> Any:
            super().clean()
            raise ValidationError(refusal)

    return Refused


def _in_words(said: list[dict[str, Any]]) -> str:
    """What was changed, also where the audit keeps no facts of it: a picture, the products of a sale."""
    said = [part for part in said if part != {"added": {}}]
    words = LogEntry(change_message=json.dumps(said)).get_change_message() if said else ""
    return words[: AuditEntry._meta.get_field("reason").max_length]


def _refuse_now() -> None:
    """Has PostgreSQL look at the rules that it keeps for the commit, before success is announced."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
