from django.apps import AppConfig


class FlashsaleConfig(AppConfig):
    name = "flashsale"

    def ready(self) -> None:
        from flashsale import checks  # noqa: F401  # registers; settings must be loaded first
