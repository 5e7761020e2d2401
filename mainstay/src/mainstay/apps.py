from django.apps import AppConfig


class MainstayConfig(AppConfig):
    name = "mainstay"

    def ready(self) -> None:
        from mainstay import checks  # noqa: F401 # registers them
