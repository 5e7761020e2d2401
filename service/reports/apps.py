from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "service.reports"
