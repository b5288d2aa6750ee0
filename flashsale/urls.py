"""The ordinary Django pages. Requests of the express lane never reach them: see `asgi.py`."""

from django.contrib import admin
from django.urls import include, path

from dashboard import login
from dashboard.metrics import metrics
from ops import health
from storefront import access_code, checkout, draw_record, find_orders, sign_in, views

urlpatterns = [
    path("orders/", views.own_orders, name="own-orders"),
    path("orders/find/", find_orders.find_orders, name="find-orders"),
    path("orders/<str:purchase>/checkout/", checkout.checkout, name="checkout"),
    path("orders/<str:purchase>/checkout/back", checkout.back),
    path("sales/<slug:slug>/code/", access_code.type_code, name="access-code"),
    path("sign-in/", sign_in.ask, name="sign-in"),
    path("sign-in/code/", sign_in.type_code),
    path("sign-out/", sign_in.sign_out, name="sign-out"),
    path("sales/<slug:slug>/draw/entries.txt", draw_record.record, name="draw-record"),
    path("payments/", include("payments.urls")),
    path("dashboard/", include("dashboard.urls")),
    path("admin/r/<path:anything>", views.no_page),  # a redirect to pages that no model here has
    path("admin/login/", login.login),  # before admin.site.urls, which has one, too
    path("admin/", admin.site.urls),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]

handler400 = "storefront.views.bad_request"
handler404 = "storefront.views.not_found"
