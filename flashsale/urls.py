"""The ordinary Django pages. Requests of the express lane never reach them: see `asgi.py`."""

from django.contrib import admin
from django.urls import include, path

from dashboard import login
from dashboard.metrics import metrics
from inventory.models import Variant
from ops import health
from storefront import views

# Variants keep the address that they had as products: Django's reverse takes the later pattern.
_admin, _app, _namespace = admin.site.urls
_variants = path("inventory/product/", include(admin.site.get_model_admin(Variant).urls))
_admin.insert(-1, _variants)  # before the pattern for unknown addresses

urlpatterns = [
    path("orders/", views.own_orders, name="own-orders"),
    path("dashboard/", include("dashboard.urls")),
    path("admin/r/<path:anything>", views.no_page),  # a redirect to pages that no model here has
    path("admin/login/", login.login),  # before admin.site.urls, which has one, too
    path("admin/", (_admin, _app, _namespace)),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]

handler400 = "storefront.views.bad_request"
handler404 = "storefront.views.not_found"
