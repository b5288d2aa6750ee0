"""`/livez`: this process answers. `/readyz`: it can sell; the answer names each part that is not
ready."""

from django.db import DatabaseError, ProgrammingError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from flashsale.database import drop_broken_connections_soon, in_thread, why_read_only
from flashsale.redis import web_connections
from flashsale.redis.refusals import describe
from orders.process_readiness import FirstReadiness

_first_readiness = FirstReadiness()


async def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


async def readyz(request: HttpRequest) -> JsonResponse:
    """Check PostgreSQL and Redis; before this process is ready for the first time, the parts of
    the first readiness too."""
    database, database_words = await _postgresql()
    gates, gate_words = await _redis()
    parts = {"postgresql": database_words, "redis": gate_words}
    waits_for = await _first_readiness.missing() if database and gates else {}
    ready = database and gates and not waits_for
    return JsonResponse({"ready": ready, **parts, **waits_for}, status=200 if ready else 503)


async def _redis() -> tuple[bool, str]:
    """Ready if any server of a cluster can be written to: the sales on that server go on."""
    failures = await web_connections.probe_all()
    away = {place: describe(error) for place, error in failures.items() if error}
    if not away:
        return True, "ok"
    if len(failures) == 1:
        return False, min(away.values())
    which = ", ".join(f"{place} {why}" for place, why in away.items())
    return len(away) < len(failures), f"{len(away)} of {len(failures)} are away: {which}"


async def _postgresql() -> tuple[bool, str]:
    try:
        read_only = await in_thread(_select)
    except ProgrammingError:
        return False, "not migrated"
    except (DatabaseError, TimeoutError) as error:
        await drop_broken_connections_soon()
        return False, f"not reachable ({type(error).__name__})"
    return (False, f"can only be read ({read_only})") if read_only else (True, "ok")


def _select() -> str:
    """Ask for orders. Returns why none can be written, "" if they can."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM orders_order LIMIT 1")
    return why_read_only()
