"""`GET /sales/<slug>/draw/entries.txt`: the published record of a draw, for everybody and every cache."""

from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from flashsale.database import in_thread
from orders.draws import publication


@csrf_exempt  # it takes no form: another method is a 405, not a lack of a token
@require_safe
async def record(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """Stream the record; 404 until the seed is revealed. From then on it never changes."""
    found = await in_thread(publication.find_published, slug)
    if found is None:
        raise Http404
    sale, header = found
    return StreamingHttpResponse(
        publication.stream(sale.pk, header),
        content_type="text/plain; charset=utf-8",
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            "Content-Disposition": f'attachment; filename="draw-{sale.slug}.txt"',
        },
    )
