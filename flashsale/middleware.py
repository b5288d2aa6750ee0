"""Middleware of the ordinary Django pages. The express lane does not pass it."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import translation

from flashsale.database import drop_broken_connections

log = logging.getLogger(__name__)

View = Callable[[HttpRequest], HttpResponse]

_STAFF_PAGES = ("/admin/", "/dashboard/")


def only_utf_8(get_response: View) -> View:
    """Refuse other charsets with 415. The shop's forms send UTF-8.

    Python has more codecs, some of them not for text, with which Django fails where a field is first read.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        charset = (request.content_params or {}).get("charset", "utf-8")
        if charset.lower() != "utf-8":
            return HttpResponse("Only UTF-8\n", status=415, content_type="text/plain")
        return get_response(request)

    return middleware


def answer_while_postgresql_is_down(get_response: View) -> View:
    """Answer 503 with Retry-After instead of 500 when PostgreSQL is down or does not answer."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    def process_exception(request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, TimeoutError):  # no check of the pool: it would hang as well
            log.warning("%s: PostgreSQL does not answer", request.path)
            return _try_again(request)
        if not isinstance(error, (OperationalError, InterfaceError)):
            return None
        log.warning("%s: PostgreSQL is not reachable: %s", request.path, error)
        drop_broken_connections()
        return _try_again(request)

    middleware.process_exception = process_exception  # type: ignore[attr-defined]  # how Django finds it
    return middleware


def _try_again(request: HttpRequest) -> HttpResponse:
    headers = {"Retry-After": "2"}
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"error": "busy"}, status=503, headers=headers)
    page = render_to_string("storefront/message.html", {"code": "busy", "status": 503})
    return HttpResponse(page, status=503, headers=headers)


def staff_pages_in_english(get_response: View) -> View:
    """Serve staff pages in English, their only language: Django's own translations would mix in others."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_STAFF_PAGES):
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = settings.LANGUAGE_CODE
        return get_response(request)

    return middleware
