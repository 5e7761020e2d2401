"""Where the pages are."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView, TemplateView
from mainstay.media import serve_media

urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("accounts/", include("service.accounts.urls")),
    path("reports/", include("service.reports.urls")),
    # One login for all: it records the login and carries the password reset.
    path("admin/login/", RedirectView.as_view(pattern_name="accounts:login", query_string=True)),
    path("admin/", admin.site.urls),
    path("media/<path:name>", serve_media, name="media"),
]
