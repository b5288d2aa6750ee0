"""The app of a drill's own shop: the bank takes the demo provider's place."""

from datetime import timedelta

from django.apps import AppConfig

LATE = timedelta(seconds=10)  # a drill does not wait a minute for each open payment


class BankConfig(AppConfig):
    name = "drills"

    def ready(self) -> None:
        from drills import bank_client
        from payments import transitions
        from payments.providers import demo

        demo.make = bank_client.make
        transitions.LATE = LATE
