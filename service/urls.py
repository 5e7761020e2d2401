"""The URL configuration."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView, TemplateView

from mainstay.media import serve_media

urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("accounts/", include("service.accounts.urls")),
    path("reports/", include("service.reports.urls")),
    # The admin uses the same login page, which records logins and links to the password reset.
    path("admin/login/", RedirectView.as_view(pattern_name="accounts:login", query_string=True)),
    path("admin/", admin.site.urls),
    path("media/<path:name>", serve_media, name="media"),
]
