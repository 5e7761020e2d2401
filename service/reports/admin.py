from django.contrib import admin

from service.reports.models import DailyReport


@admin.register(DailyReport)
class DailyReportAdmin(admin.ModelAdmin):
    list_display = ("day", "sign_ups", "logins", "mails_sent", "mails_failed", "sessions_removed")
    date_hierarchy = "day"

    # Read-only: the report page reads a cache, which a change here does not invalidate.
    def has_add_permission(self, request: object) -> bool:
        return False

    def has_change_permission(self, request: object, obj: DailyReport | None = None) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: DailyReport | None = None) -> bool:
        return False
