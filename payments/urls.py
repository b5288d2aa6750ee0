from django.urls import path

from payments.demo_page import demo_page
from payments.pages import receive_event

urlpatterns = [
    path("demo/<uuid:payment>/", demo_page, name="demo-payment"),
    path("<slug:provider>/events", receive_event, name="payment-events"),
]
