"""`/payments/demo/<id>/`: the card page of the demo provider, as if it were at another company."""

from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods

from flashsale.database import in_thread
from flashsale.http.response import SeeOther
from payments import events
from payments.models import DemoPayment
from payments.providers import demo

# What the buttons of the page do: see `demo.play`.
CHOICES = ("pay", "decline", "slow", "leave", "twice")


@require_http_methods(["GET", "HEAD", "POST"])
@cache_control(private=True, no_store=True)
async def demo_page(request: HttpRequest, payment: UUID) -> HttpResponse:
    """Show the payment in the language of its checkout, or do what the shopper chose and send them back to
    the shop."""
    if demo.Demo.name not in settings.PAYMENT_PROVIDERS:
        raise Http404
    choice = request.POST.get("choice", "") if request.method == "POST" else ""
    found = await in_thread(_find_and_play, str(payment), choice)
    if found is None:
        raise Http404
    if choice in CHOICES and choice != "leave":
        return SeeOther(_way_back(found))
    return _show(request, found, left=choice == "leave")


def _find_and_play(payment: str, choice: str) -> DemoPayment | None:
    """The payment as it was before the shopper chose."""
    found = demo.find(payment)
    if found and choice in CHOICES:
        for body, headers in demo.play(payment, choice):
            events.receive(demo.Demo.name, body, headers)
    return found


def _show(request: HttpRequest, found: DemoPayment, *, left: bool) -> HttpResponse:
    context = {
        "payment": found,
        "back": _way_back(found),
        "left": left,
        "open": found.state == "open" and not found.acts_at,
    }
    with translation.override(found.language or get_language()):
        page = render(request, "payments/demo.html", context)
    page["Content-Language"] = found.language or get_language() or ""
    page["X-Robots-Tag"] = "noindex"
    return page


def _way_back(found: DemoPayment) -> str:
    """On the host that the shopper uses now: forms of this page may lead to no other."""
    parts = urlsplit(found.back)
    return f"{parts.path or '/'}?{parts.query}".removesuffix("?")
