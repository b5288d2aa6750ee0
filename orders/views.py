"""The ordinary pages: the list of sales, and the shopper's own orders."""

from django.http import HttpRequest, HttpResponse


def sale_list(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def own_orders(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(status=404)
