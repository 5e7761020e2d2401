from django.contrib import admin

from service.reports.models import DailyReport


@admin.register(DailyReport)
class DailyReportAdmin(admin.ModelAdmin):
    list_display = ("day", "sign_ups", "logins", "mails_sent", "mails_failed", "sessions_removed")
    date_hierarchy = "day"
