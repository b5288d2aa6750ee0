"""Base classes of admin pages that edit rows: explained refusals, the audit."""

import json
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.forms.utils import pretty_name
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from dashboard.admin.base import StaffAdmin
from flashsale.database import bounded_transaction, stop_preparing
from inventory.constraint_messages import explain
from inventory.names import LineFormField
from orders.audit_trail import Action, facts, write_down
from orders.models import AuditEntry


class SideBySide(forms.ModelForm):  # type: ignore[type-arg]  # Django has no generics here
    """Sends the initial values along: two users who edit different fields at once keep each other's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.show_hidden_initial = not isinstance(field, forms.FileField)
            if self.instance.pk and isinstance(field, LineFormField):
                field.stored = getattr(self.instance, name, "")

    def fields_to_write(self) -> set[str]:
        return set(self.changed_data)


class LabelledRows(forms.BaseInlineFormSet):  # type: ignore[type-arg]  # Django has no generics here
    """Rows of a table. The head of a column labels nothing: each field says its name itself."""

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        for name, field in form.fields.items():
            if not field.widget.is_hidden:
                field.widget.attrs["aria-label"] = field.label or pretty_name(name)


class BoundedRows(admin.TabularInline):  # type: ignore[type-arg]  # Django has no generics here
    """Rows of a page, at most `max_num`, or as many as there are already. Subclasses name `fk_name`."""

    fk_name: str
    max_num: int

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        present = self.model._default_manager.filter(**{self.fk_name: obj}).count() if obj else 0
        # By default Django makes a thousand forms more, if a request claims to have them.
        return super().get_formset(request, obj, absolute_max=max(self.max_num, present), **options)


_LAST_POSITION = 32_767  # that a column holds


def positions_after(taken: Iterable[int]) -> Iterator[int]:
    """Positions of new rows behind these. The last is given again and again: keys decide among its rows."""
    return (min(position, _LAST_POSITION) for position in count(max(taken, default=-1) + 1))


class Edited(StaffAdmin):
    """Pages that edit rows. Each change writes an audit entry in its transaction.

    PostgreSQL holds the rules; its refusal becomes an error of the form, not a 500.
    """

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, *args, **kwargs)
        try:
            with bounded_transaction(prepares=True):
                return super().changeform_view(request, *args, **kwargs)
        except IntegrityError as refusal:
            request.refusal = explain(refusal)  # type: ignore[attr-defined]  # for `get_form`
        with bounded_transaction(prepares=True):
            return super().changeform_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        refusal = getattr(request, "refusal", None)
        return _refused(form, refusal) if refusal else form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write the fields that were changed on this page; keep the present values of the others."""
        form.before = {}
        if change:
            present = self.lock(obj)
            form.before = facts(present)
            written = form.fields_to_write()
            for field in obj._meta.concrete_fields:
                if field.name not in written:
                    setattr(obj, field.attname, getattr(present, field.attname))
        super().save_model(request, obj, form, change)

    def lock(self, subject: Any) -> Any:
        """Lock the subject's row until the transaction ends, and return its present state."""
        stop_preparing()
        return self.model._default_manager.select_for_update(no_key=True).get(pk=subject.pk)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        changes = self.construct_change_message(request, form, formsets, add=not change)
        if changes:
            write_down(
                Action.EDITED if change else Action.CREATED,
                form.instance,
                form.before,
                by=request.user.get_username(),
                reason=_describe(changes),
            )
        _check_constraints_now()

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
        _check_constraints_now()


def _refused(form: Any, refusal: str) -> Any:
    """A form class that shows the typed values again, with the refusal as its error."""

    class Refused(form):  # type: ignore[misc]  # a class made by the admin
        def clean(self) -> Any:
            super().clean()
            raise ValidationError(refusal)

    return Refused


def _describe(changes: list[dict[str, Any]]) -> str:
    """Describe all changes, those too of which the audit keeps no facts: a picture, a sale's variants."""
    changes = [change for change in changes if change != {"added": {}}]
    words = LogEntry(change_message=json.dumps(changes)).get_change_message() if changes else ""
    return words[: AuditEntry._meta.get_field("reason").max_length]


def _check_constraints_now() -> None:
    """Have PostgreSQL check its deferred constraints before the page announces success."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
