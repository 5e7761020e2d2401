from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin

from service.accounts.models import Mail, Profile, User

admin.site.register(User, DjangoUserAdmin)


@admin.register(Profile)
class ProfileAdmin(admin.ModelAdmin):
    list_display = ("user", "display_name", "has_picture")
    list_select_related = ("user",)
    list_filter = ("user__is_staff", "user__is_active", ("picture", admin.EmptyFieldListFilter))
    search_fields = ("display_name", "user__username", "user__email")
    autocomplete_fields = ("user",)
    # Only ProfileForm re-encodes pictures.
    readonly_fields = ("picture",)

    @admin.display(boolean=True, description="picture")
    def has_picture(self, profile: Profile) -> bool:
        return bool(profile.picture)


@admin.register(Mail)
class MailAdmin(admin.ModelAdmin):
    list_display = ("user", "kind", "state", "changed_at")
    list_select_related = ("user",)
    list_filter = ("kind", "state")
    search_fields = ("user__username", "user__email")
    date_hierarchy = "changed_at"

    def has_add_permission(self, request: object) -> bool:
        return False

    def has_change_permission(self, request: object, obj: Mail | None = None) -> bool:
        return False
