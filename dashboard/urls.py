from django.urls import path

from dashboard import mails, views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("live/", views.live, name="dashboard-live"),
    path("history/", views.history, name="dashboard-history"),
    path("mails/", mails.mails, name="mails"),
    path("mails/<str:mail>/<slug:part>/", mails.read_mail, name="mail"),
    path("sales/<int:sale>/<slug:action>/", views.change_sale, name="change-sale"),
    path(
        "sales/<int:sale>/products/<int:variant>/<slug:action>/",
        views.change_variant,
        name="change-variant",
    ),
]
