"""Middleware of the ordinary Django pages. The express lane does not pass it."""

import logging
from collections.abc import Callable, Iterator

from django.conf import settings
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import BadRequest
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import is_valid_path
from django.utils import translation

from flashsale.database import drop_broken_connections, only_reads
from flashsale.http.headers import prefers_json

log = logging.getLogger(__name__)

View = Callable[[HttpRequest], HttpResponse]

STAFF_PAGES = ("/admin/", "/dashboard/")


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


def forms_without_last_slash(get_response: View) -> View:
    """Take a form at an address without its last slash: Django's redirect would lose it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD") and not request.path_info.endswith("/"):
            match = is_valid_path(f"{request.path_info}/")
            # The catch-all of admin matches any path, and says so by this attribute.
            if match and getattr(match.func, "should_append_slash", True):
                request.path_info += "/"
                request.path += "/"
        return get_response(request)

    return middleware


def without_null_characters(get_response: View) -> View:
    """Refuse a query with NUL characters on staff pages (400): PostgreSQL has none in texts, and Django's
    filters pass them on. Its forms check what is typed."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "%00" in request.META["QUERY_STRING"] and request.path.startswith(STAFF_PAGES):
            raise BadRequest("a NUL character in the query")
        return get_response(request)

    return middleware


def answer_while_postgresql_is_down(get_response: View) -> View:
    """Answer 503 with Retry-After instead of 500 when PostgreSQL is down, does not answer or can only be
    read."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    def process_exception(request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, TimeoutError):  # no check of the pool: it would hang as well
            log.warning("%s: PostgreSQL does not answer", request.path)
            return try_again(request)
        return _answer_for(request, error)

    middleware.process_exception = process_exception  # type: ignore[attr-defined]  # how Django finds it
    return middleware


class Sessions(SessionMiddleware):
    """Django's, which saves a changed session after the view: too late for `process_exception`."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return super().process_response(request, response)
        except (DatabaseError, InterfaceError, SessionInterrupted) as error:
            # Django calls a session that was not saved interrupted, whatever the reason.
            for each in _chain(error):
                if answer := _answer_for(request, each):
                    return answer
            raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _answer_for(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """The answer to a request that PostgreSQL could not serve; None for other errors."""
    if only_reads(error):
        log.warning("%s: PostgreSQL can only be read: %s", request.path, error)
        return try_again(request, "read_only")
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("%s: PostgreSQL is not reachable: %s", request.path, error)
        drop_broken_connections()
        return try_again(request)
    return None


def try_again(request: HttpRequest, code: str = "busy", after: int = 2) -> HttpResponse:
    """503 with Retry-After (seconds): as JSON, or as a page with the text of the code."""
    headers = {"Retry-After": str(after)}
    if prefers_json(request.headers.get("Accept", "").encode()):
        return JsonResponse({"error": "busy"}, status=503, headers=headers)
    page = render_to_string("storefront/message.html", {"code": code, "status": 503})
    return HttpResponse(page, status=503, headers=headers)


def staff_pages_in_english(get_response: View) -> View:
    """Serve staff pages in English, their only language: Django's own translations would mix in others."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path.startswith(STAFF_PAGES):
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = settings.LANGUAGE_CODE
        return get_response(request)

    return middleware
