from django.urls import path

from service.reports import views

app_name = "reports"
urlpatterns = [
    path("", views.index, name="index"),
    path("daily-reports.csv", views.export, name="csv"),
]
