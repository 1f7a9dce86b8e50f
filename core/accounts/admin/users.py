"""Define the admin of users and roles. Two-factor devices have no pages, because they contain secrets."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
)
from django.urls import reverse
from django.utils.text import capfirst
from django_otp.plugins.otp_totp.models import TOTPDevice

from core.lib.admin import PortalAdmin, Section, Tool, VisibleRelatedFilter

admin.site.unregister(
    [TOTPDevice, User, Group, EmailAddress, SocialAccount, SocialApp, SocialToken]
)


class WithPermissions(PortalAdmin):
    """An admin whose form offers permissions, each labeled with its model, such as "Alert rule: change alert rule"."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.related_model is Permission:
            field.label_from_instance = lambda one: (
                f"{capfirst(one.content_type.name)}: {one.name.removeprefix('Can ')}"
            )
        return field


class RoleFilter(VisibleRelatedFilter):
    """A filter of users by role. Django calls roles groups."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "role"


@admin.register(User)
class PortalUserAdmin(WithPermissions, UserAdmin):  # type: ignore[type-arg]
    section = Section.PEOPLE
    setting_purpose = "The people who may sign in, with their roles."
    list_display = ("username", "full_name", "email", "roles", "is_active", "last_login")
    list_filter = ("is_active", ("groups", RoleFilter))
    fieldsets = (
        (None, {"fields": ("username", "password", "is_active")}),
        ("Person", {"fields": (("first_name", "last_name"), "email")}),
        (
            "Role",
            {
                "fields": ("groups", "is_staff", "is_superuser"),
                "description": "Owners can do everything. Staff work with alerts, errors, payments and reservations, "
                "but cannot change settings. Read-only users see everything except people, and change nothing.",
            },
        ),
        ("Further permissions", {"classes": ("collapse",), "fields": ("user_permissions",)}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_form_template = None
    add_fieldsets = (
        (None, {"fields": ("username", "password1", "password2")}),
        ("Person", {"fields": (("first_name", "last_name"), "email")}),
        ("Role", {"fields": ("groups", "is_staff")}),
    )
    readonly_fields = ("last_login", "date_joined")
    field_labels = {
        "username": "Username",
        "email": "E-mail address",
        "groups": "Roles",
        "is_active": "May sign in",
        "is_staff": "Uses the portal",
        "is_superuser": "All permissions, regardless of the role",
        "user_permissions": "Permissions in addition to the role",
        "last_login": "Last sign-in",
        "date_joined": "Added",
    }
    field_help = {
        "username": "Use only letters, digits and @ . + - _, for example anna.",
        "email": "The user needs this address to reset a forgotten password.",
        "is_active": "Turn this off to keep a person from signing in without deleting the account.",
        "is_staff": "If this is off, the user cannot sign in to this portal.",
        "is_superuser": "",
        "groups": "",
        "user_permissions": "",
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def list_tools(self, request: HttpRequest, obj: User) -> list[Tool]:
        return [Tool("Sessions", reverse("access:session-list-of", args=[obj.pk]))]

    @admin.display(description="name", ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name()

    @admin.display(description="role")
    def roles(self, user: User) -> str:
        names = [group.name for group in user.groups.all()]
        return ", ".join(["All permissions", *names] if user.is_superuser else names)


@admin.register(Group)
class RoleAdmin(WithPermissions, GroupAdmin):  # type: ignore[misc]
    section = Section.PEOPLE
    setting_title = "Roles"
    row_name = "role"
    setting_purpose = "The permissions of the users with each role."
    list_display = ("name",)
