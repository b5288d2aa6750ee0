"""`/livez`: this process answers. `/readyz`: it can sell; says what is not ready."""

import redis
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from flashsale import redis_clients
from flashsale.database import drop_broken_connections_soon, in_thread


async def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


async def readyz(request: HttpRequest) -> JsonResponse:
    parts = {"postgresql": await _postgresql(), "redis": await _redis()}
    ready = all(state == "ok" for state in parts.values())
    return JsonResponse({"ready": ready, **parts}, status=200 if ready else 503)


async def _redis() -> str:
    try:
        await redis_clients.send("PING")
    except redis.RedisError as error:
        return f"not reachable ({type(error).__name__})"
    return "ok"


async def _postgresql() -> str:
    try:
        await in_thread(_select)
    except (DatabaseError, TimeoutError) as error:
        await drop_broken_connections_soon()
        return f"not reachable ({type(error).__name__})"
    return "ok"


def _select() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()
