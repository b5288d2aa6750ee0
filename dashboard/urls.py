from django.urls import path

from dashboard import fulfilment, mails, review, views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("live/", views.live, name="dashboard-live"),
    path("history/", views.history, name="dashboard-history"),
    path("mails/", mails.mails, name="mails"),
    path("mails/<str:mail>/<slug:part>/", mails.read_mail, name="mail"),
    path("sales/<int:sale>/fulfilment/", fulfilment.fulfilment, name="fulfilment"),
    path("sales/<int:sale>/fulfilment/parcels/", fulfilment.parcels, name="parcels"),
    path("sales/<int:sale>/fulfilment/export/", fulfilment.export, name="shipping-export"),
    path("sales/<int:sale>/fulfilment/<uuid:order>/ship/", fulfilment.ship, name="ship"),
    path("sales/<int:sale>/review/", review.review_sale, name="review"),
    path(
        "sales/<int:sale>/review/<slug:kind>/<slug:key>/", review.review_group, name="review-group"
    ),
    path("sales/<int:sale>/<slug:action>/", views.change_sale, name="change-sale"),
    path(
        "sales/<int:sale>/products/<int:variant>/<slug:action>/",
        views.change_variant,
        name="change-variant",
    ),
]
