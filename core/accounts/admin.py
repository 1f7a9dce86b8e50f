"""Admin pages of the audit log and the sign-in policy. Two-factor devices have none, because they contain secrets."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django_otp.plugins.otp_totp.models import TOTPDevice

from core.accounts.models import AccessPolicy, AuditEvent
from core.accounts.services import two_factor
from core.lib.admin import LogAdmin, PortalAdmin, Section

admin.site.unregister(TOTPDevice)


@admin.register(AuditEvent)
class AuditEventAdmin(LogAdmin):
    section = Section.PEOPLE
    setting_title = "Audit log"
    list_display = ("at", "username", "action", "target", "detail", "status", "request_id")
    list_filter = ("at", ("user", admin.RelatedOnlyFieldListFilter))
    search_fields = ("username__exact", "action", "target", "request_id__exact")
    search_help_text = "User name, action, target, or reference (request id)"
    ordering = ("-at", "-pk")
    date_hierarchy = "at"
    show_facets = admin.ShowFacets.NEVER

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AccessPolicyForm(forms.ModelForm[AccessPolicy]):
    request: HttpRequest

    class Meta:
        model = AccessPolicy
        fields = ("require_second_factor",)

    def clean_require_second_factor(self) -> bool:
        is_required = bool(self.cleaned_data["require_second_factor"])
        if is_required and two_factor.device_of(self.request.user) is None:
            raise ValidationError(
                "Set up two-factor sign-in for your own account first. Otherwise you lock yourself out."
            )
        return is_required


@admin.register(AccessPolicy)
class AccessPolicyAdmin(PortalAdmin):
    section = Section.PEOPLE
    setting_purpose = "Whether everyone needs two-factor sign-in."
    form = AccessPolicyForm

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return type("Form", (super().get_form(request, *args, **kwargs),), {"request": request})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not AccessPolicy.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: AccessPolicy, form: Any, change: bool) -> None:
        obj.pk = 1
        super().save_model(request, obj, form, change)
