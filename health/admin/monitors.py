"""Define the admin of monitors, whose form has different sections for each type."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_ratelimit.core import is_ratelimited

from core.lib.admin import PortalInline, Section
from health.admin.components import ComponentBase
from health.admin.monitor_forms import MonitorForm, StepForm, StepFormSet, formset_problems
from health.checking import runner
from health.checking.probes import to_check
from health.models import ComponentKind, Monitor, MonitorStep, StatusChoice
from health.monitor_types import (
    TYPES,
    MonitorType,
    type_of,
)
from health.verdict import Result

SCHEDULE = ("interval_minutes", "timeout_seconds", "fail_after", "recover_after")
REQUEST = ("method", "headers", "body")
SIGN_IN = ("username", "password")
# The form of a type shows these sections between the sections that all types share.
SECTIONS: dict[MonitorType, Sequence[tuple[str, Sequence[str]]]] = {
    MonitorType.HTTP: (
        ("Request", REQUEST),
        (
            "Expected response",
            (
                "expected_status",
                "follow_redirects",
                "contains",
                "json_path",
                "json_value",
            ),
        ),
    ),
    MonitorType.TCP: (),
    MonitorType.PING: (),
    MonitorType.DNS: (
        ("Question", ("record_type", "resolver")),
        ("Expected answer", ("expected_value", "value_match")),
    ),
    MonitorType.POSTGRESQL: (
        ("Sign-in", (*SIGN_IN, "requires_tls")),
        ("Query", ("query", "expected_value")),
    ),
    MonitorType.REDIS: (("Sign-in", (*SIGN_IN, "requires_tls")),),
    MonitorType.SMTP: (("Sign-in", ("requires_tls", *SIGN_IN)),),
}
_HELP: dict[MonitorType, Mapping[str, str]] = {
    MonitorType.DNS: {
        "expected_value": "One record per line, for example 192.0.2.7, or 10 mail.example.com for MX."
        " Leave empty to accept any record.",
    },
    MonitorType.POSTGRESQL: {
        "username": "A role that may only sign in and read. Leave empty for postgres.",
        "expected_value": "The first value of the first row, for example 0 or true. Leave empty to accept any value.",
        "query": "For example SELECT count(*) FROM orders WHERE state = 'stuck'. Leave empty for SELECT 1."
        " It runs in a read-only transaction.",
    },
    MonitorType.REDIS: {
        "username": "Fill this in only if the server uses access control lists (Redis 6 and later).",
        "requires_tls": "This has the same effect as an address that starts with rediss://.",
    },
    MonitorType.SMTP: {
        "requires_tls": "Switch to TLS with STARTTLS, and verify the certificate. An smtps:// address always "
        "uses TLS.",
        "username": "Leave empty to check the greeting only.",
    },
}


class StepInline(PortalInline):
    template = "admin/edit_inline/stacked.html"
    model = MonitorStep
    form = StepForm
    formset: type[Any] = StepFormSet
    extra = 0
    place_field = "position"
    ordering = ("position", "pk")
    verbose_name = "step before the request"
    verbose_name_plural = "steps before the request"
    fields = (
        ("position", "name"),
        ("method", "url"),
        "headers",
        "body",
        "expected_status",
        "extract",
    )
    field_labels = {"url": "Address", "expected_status": "Status code", "extract": "Set variables"}
    field_help = {
        "name": "For example Sign in.",
        "position": "Steps run in this order.",
        "headers": 'As JSON, for example {"Content-Type": "application/json"}.',
        "extract": "Enter one variable per line, such as token = json.access_token or session = header.X-Session."
        " Later steps and the request use {{token}} in the address, the headers and the body. Cookies are kept.",
    }

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name in ("headers", "body", "extract") and field is not None:
            field.widget.attrs["rows"] = 3
        return field


class TypeFilter(admin.SimpleListFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.value, info.label) for kind, info in TYPES.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value() or ""
        if value not in TYPES:
            return queryset
        condition = Q()
        for scheme in TYPES[MonitorType(value)].schemes:
            condition |= Q(url__startswith=f"{scheme}://")
        return queryset.filter(condition)


@admin.register(Monitor)
class MonitorAdmin(ComponentBase):
    section = Section.MONITORING
    setting_purpose = "Addresses that the portal calls regularly."
    field_labels = {
        "title": "Name",
        "url": "Address",
        "is_required": "Required",
        "is_public": "Show on the status page",
        "interval_minutes": "Check every (minutes)",
        "timeout_seconds": "Time limit (seconds)",
        "fail_after": "Down after (failures)",
        "recover_after": "Up after (successes)",
        "expected_status": "Status code",
        "follow_redirects": "Follow redirects",
        "latency_limit_ms": "Slow above (ms)",
        "contains": "Body contains",
        "json_path": "JSON value at",
        "json_value": "JSON value is",
        "record_type": "Record type",
        "resolver": "Name server",
        "expected_value": "Expected value",
        "value_match": "Comparison",
        "requires_tls": "Require TLS",
        "is_inverted": "Upside down",
    }
    field_help = {
        "title": "Use a noun, such as Checkout. The status page shows this title.",
        "headers": 'As JSON, for example {"Accept": "application/json"}.',
        "timeout_seconds": "Enter 1 to 15 seconds. The limit applies to all requests of a check together.",
        "is_inverted": "The monitor is down while the address responds as described here, and up while it does not,"
        " for example for a port that must stay closed.",
    }
    form = MonitorForm
    kind = ComponentKind.MONITOR
    list_display = (
        "title",
        "shown_status",
        "shown_since",
        "url",
        "shown_group",
        "shown_result",
    )
    list_filter = (*ComponentBase.list_filter[:3], TypeFilter, *ComponentBase.list_filter[3:])
    change_form_template = "admin/health/monitor/change_form.html"
    search_fields = ("title", "url", "group", "tags")
    inlines = (StepInline,)

    def type_for(self, request: HttpRequest, obj: Monitor | None) -> MonitorType:
        if obj is not None and obj.url:
            return obj.type
        given = request.GET.get("type", "")
        return MonitorType(given) if given in TYPES else type_of(request.GET.get("url", ""))

    def get_fieldsets(self, request: HttpRequest, obj: Monitor | None = None) -> Any:
        kind = self.type_for(request, obj)
        return [
            (None, {"fields": ("title", "url", "app", "group", "tags")}),
            *((title, {"fields": fields}) for title, fields in SECTIONS[kind]),
            ("Verdict", {"fields": ("latency_limit_ms", "is_inverted")}),
            ("Schedule", {"fields": SCHEDULE}),
            ("Status", {"fields": ("is_enabled", "is_required", "is_public", "position")}),
        ]

    def get_form(
        self, request: HttpRequest, obj: Monitor | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kind = self.type_for(request, obj)
        kwargs.setdefault("help_texts", {**self.field_help, **_HELP.get(kind, {})})
        form = super().get_form(request, obj, change=change, **kwargs)
        return type("TypeForm", (form,), {"monitor_type": kind})

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name in ("body", "expected_value", "query") and field is not None:
            field.widget.attrs["rows"] = 4
        return field

    def get_inlines(self, request: HttpRequest, obj: Monitor | None) -> Any:
        return self.inlines if self.type_for(request, obj) is MonitorType.HTTP else ()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the choice of a type before the form, because each type has its own form."""
        if request.method == "POST" or request.GET.get("type") in TYPES:
            return super().add_view(request, form_url, extra_context)
        if not self.has_add_permission(request):
            return HttpResponse(status=403)
        context = {
            **self.admin_site.each_context(request),
            "title": "Add a monitor",
            "opts": self.opts,
            "types": TYPES.items(),
        }
        return render(request, "admin/health/monitor/choose_type.html", context)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        monitor: Monitor | None = kwargs.get("obj")
        given = {"type": self.type_for(request, monitor).value}
        if monitor is not None:
            given["id"] = str(monitor.pk)
        context["check_url"] = f"{reverse('admin:health_monitor_check')}?{urlencode(given)}"
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def get_urls(self) -> list[URLPattern]:
        check = self.admin_site.admin_view(require_POST(self.check_now))
        return [path("check/", check, name="health_monitor_check"), *super().get_urls()]

    def check_now(self, request: HttpRequest) -> HttpResponse:
        """Probe the address once with the unsaved values of the form, and show the result on the page."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            return HttpResponse(status=403)
        if is_ratelimited(
            request, group="health.check_now", key="user_or_ip", rate="6/m", increment=True
        ):
            problem = "The limit of 6 checks per minute was reached. Try again shortly."
            return self._answer_check(request, problems=[problem])
        stored = request.GET.get("id", "")
        known = (
            get_object_or_404(self.get_queryset(request), pk=stored) if stored.isdecimal() else None
        )
        form = self.get_form(request, known, known is not None)(request.POST, instance=known)
        problems = [
            f"{form.fields[name].label}: {text}" if name in form.fields else str(text)
            for name, texts in form.errors.items()
            for text in texts
        ]
        if problems:
            return self._answer_check(request, problems=problems)
        monitor: Monitor = form.save(commit=False)
        steps: list[MonitorStep] = []
        for inline in self.get_inline_instances(request, known):
            if "steps-TOTAL_FORMS" not in request.POST:
                continue
            formset: Any = inline.get_formset(request, known)(request.POST, instance=monitor)
            if not formset.is_valid():
                return self._answer_check(request, problems=formset_problems(formset))
            steps = formset.in_order()
        monitor.name = f"check-now-{uuid.uuid4().hex}"
        [(_, result)] = runner.run([to_check(monitor, steps)], now=timezone.now())
        return self._answer_check(request, result=result)

    def _answer_check(
        self, request: HttpRequest, *, result: Result | None = None, problems: Sequence[str] = ()
    ) -> HttpResponse:
        label = StatusChoice(result.status).label if result else ""
        context = {"result": result, "label": label, "problems": problems}
        return render(request, "admin/health/monitor/_check.html", context)
