"""Show what would have been sent, where mails go to files: a trial has no mail server."""

import base64
import re
from hashlib import sha256

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.access import SEE_CONTACTS, staff_with
from mail import folder

_SHOWN = 100
_PARTS = {"text": "plain", "html": "html"}
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def are_kept() -> bool:
    """Whether there is such a page."""
    return folder.is_used()


@require_safe
@never_cache
@staff_with(SEE_CONTACTS)
def mails(request: HttpRequest) -> HttpResponse:
    """List the newest mails. 404 where mails are sent."""
    if not are_kept():
        raise Http404
    context = {"section": "dashboard", "mails": folder.list_mails(_SHOWN), "most": _SHOWN}
    return render(request, "dashboard/mails.html", context)


@require_safe
@never_cache
@staff_with(SEE_CONTACTS)
def read_mail(request: HttpRequest, mail: str, part: str) -> HttpResponse:
    """One mail as text, or as HTML in a sandbox, where it is of another origin and runs nothing."""
    content = folder.read_part(mail, _PARTS[part]) if are_kept() and part in _PARTS else None
    if content is None:
        raise Http404
    if part == "text":
        return HttpResponse(content, content_type="text/plain; charset=utf-8")
    response = HttpResponse(content, content_type="text/html; charset=utf-8")
    response["Content-Security-Policy"] = _sandbox(content)
    # Browsers refuse to show a page that is in a sandbox and has another policy about openers.
    response["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return response


def _sandbox(html: str) -> str:
    """Of the mail only its own style is used: the policy names its hash."""
    styles = (style.replace("\r\n", "\n").encode() for style in _STYLE.findall(html))
    hashes = [f"'sha256-{base64.b64encode(sha256(style).digest()).decode()}'" for style in styles]
    allowed = " ".join(hashes) or "'none'"
    return (
        f"sandbox; default-src 'none'; style-src {allowed}; frame-ancestors 'none'; base-uri 'none'"
    )
