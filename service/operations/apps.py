from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "service.operations"

    def ready(self) -> None:
        from service.operations import checks  # noqa: F401 # registers them
