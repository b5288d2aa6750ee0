"""Show the dashboard, and carry out its controls; `orders/changes.py` says where their rules are."""

from collections.abc import Iterable
from http import HTTPStatus
from uuid import uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dashboard import charts, controls, mails
from dashboard.access import CORRECT, LOOK, RUN, SEE_CONTACTS, SEE_ORDERS, may, staff_with
from dashboard.base_control import Control, Outcome
from dashboard.controls import ChangeWindow
from dashboard.reading import observer
from flashsale.middleware import try_again
from inventory.models import Sale, Variant


@require_safe
@never_cache
@staff_with(LOOK)
def dashboard(request: HttpRequest) -> HttpResponse:
    """The whole page."""
    context = {
        "section": "dashboard",
        "snapshot": observer().look(),
        "may_run": may(request.user, RUN),
        "may_correct": may(request.user, CORRECT),
        "may_export": may(request.user, SEE_ORDERS),
        "may_read_mails": mails.are_kept() and may(request.user, SEE_CONTACTS),
        "new_key": uuid4,
    }
    return render(request, "dashboard/dashboard.html", context)


@require_safe
@never_cache
@staff_with(LOOK)
def live(request: HttpRequest) -> HttpResponse:
    """The fragments that change, for a page without a socket."""
    return render(request, "dashboard/_live.html", {"snapshot": observer().look(), "swap": True})


@require_safe
@never_cache
@staff_with(LOOK)
def history(request: HttpRequest) -> HttpResponse:
    """The last ten minutes, for the charts."""
    points = charts.points(observer().look().history)
    return JsonResponse({"columns": charts.COLUMNS, "points": points})


# --- Changes -------------------------------------------------------------------------------------


@require_POST
def change_sale(request: HttpRequest, sale: int, action: str) -> HttpResponse:
    """Pause, end, … a sale."""
    return _change(request, controls.OF_SALES, action, Sale, sale, desk=f"sale-{sale}")


@require_POST
def change_variant(request: HttpRequest, sale: int, variant: int, action: str) -> HttpResponse:
    """Restock or correct a variant, at the desk of a sale."""
    desk = f"product-{sale}-{variant}"
    key = f"{action}-{sale}-{variant}"
    return _change(request, controls.OF_VARIANTS, action, Variant, variant, desk=desk, key=key)


def _change(
    request: HttpRequest,
    offered: Iterable[type[Control]],
    action: str,
    model: type[Sale] | type[Variant],
    which: int,
    *,
    desk: str,
    key: str = "",
) -> HttpResponse:
    """Carry out the control `action`. `desk` is the id of the page's part that shows the result, `key` that
    of the form's key."""
    control = next((each for each in offered if each.name == action), None)
    if control is None:
        raise Http404

    @staff_with(*control.permissions)
    def change(request: HttpRequest) -> HttpResponse:
        subject = get_object_or_404(model, pk=which)
        form = control([subject], request.POST, auto_id=False)
        if form.is_valid():
            outcome = form.carry_out(subject, by=request.user.get_username())
        else:
            outcome = Outcome("refused", _describe_errors(form))
        if outcome.kind == "asked":
            return _ask(request, desk, outcome, form)
        # A change that may be committed is repeated with the same key, or it might be made twice.
        key_used = "" if outcome.kind == "unsure" else key
        window = _window_afterwards(form, outcome)
        return _answer(request, desk, outcome, key_used, window)

    return change(request)


def _window_afterwards(form: Control, outcome: Outcome) -> ChangeWindow | None:
    """The window's form to show after it was sent: with what it asks, or with the new window; None
    to leave the page's as it is."""
    if not isinstance(form, ChangeWindow):
        return None
    if not form.is_valid():
        return form
    return ChangeWindow.of(Sale.objects.get(pk=form.sale.pk)) if outcome.kind == "done" else None


_STATUS = {
    "done": HTTPStatus.OK,
    "repeated": HTTPStatus.OK,
    "late": HTTPStatus.ACCEPTED,
    "refused": HTTPStatus.CONFLICT,
    "asked": HTTPStatus.CONFLICT,
    "unsure": HTTPStatus.SERVICE_UNAVAILABLE,
    "read_only": HTTPStatus.SERVICE_UNAVAILABLE,
}


def _answer(
    request: HttpRequest, subject: str, outcome: Outcome, key: str, window: ChangeWindow | None
) -> HttpResponse:
    """Answer htmx with the outcome's fragment, and what its form needs afresh; else redirect."""
    if "HX-Request" in request.headers:
        fresh = {"key": key, "fresh": uuid4(), "window": window}
        context = {"subject": subject, "outcome": outcome, **fresh}
        status = _STATUS[outcome.kind]
        answer = render(request, "dashboard/_result.html", context, status=status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            answer["Retry-After"] = "2"
        return answer
    if outcome.kind == "read_only":
        return try_again(request, "read_only")
    level = messages.SUCCESS if outcome.kind == "done" else messages.WARNING
    messages.add_message(request, level, outcome.words)
    return redirect(f"{reverse('dashboard')}#{subject}")


def _ask(request: HttpRequest, subject: str, outcome: Outcome, form: Control) -> HttpResponse:
    """Show the odd things, with the form again: for htmx in place, else as a page."""
    name = "_question" if "HX-Request" in request.headers else "question"
    context = {"subject": subject, "outcome": outcome, "form": form}
    return render(request, f"dashboard/{name}.html", context, status=_STATUS[outcome.kind])


def _describe_errors(form: Control) -> str:
    """Join the form's errors, with their labels, in one line."""
    named = {name: form.fields[name].label or name for name in form.fields}
    return " ".join(
        f"{capfirst(named[name])}: {' '.join(map(str, errors))}"
        if name in named
        else str(errors[0])
        for name, errors in form.errors.items()
    )
