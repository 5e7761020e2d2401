from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("json/", views.as_json),
    path("notes/", views.notes),
]
