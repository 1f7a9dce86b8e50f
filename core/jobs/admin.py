"""Admin pages of scheduled jobs and their history. django-q2's own pages are hidden or read-only."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success

from core.jobs.models import Job, JobRun, Node
from core.jobs.services import queue_due_jobs
from core.lib.admin import LogAdmin

# A malformed Schedule row would stop all schedules. Successes are not stored.
admin.site.unregister([Schedule, Success, Failure, OrmQ])


@admin.register(Job)
class JobAdmin(admin.ModelAdmin[Job]):
    list_display = (
        "summary",
        "name",
        "cron",
        "is_enabled",
        "next_run_at",
        "last_finished_at",
        "last_outcome",
    )
    list_filter = ("is_enabled", "last_outcome")
    search_fields = ("name", "summary")
    ordering = ("name",)
    actions = ("run_now", "enable", "disable")
    fields = (
        "name", "summary", "cron", "is_enabled", "next_run_at",
        "last_started_at", "last_finished_at", "last_outcome", "lease_until",
    )  # fmt: skip
    readonly_fields = tuple(field for field in fields if field != "is_enabled")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False  # The next start would create it again. Jobs can be disabled instead.

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.run_job")

    @admin.action(description="Run now", permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        now = timezone.now()
        due = Job.objects.filter(pk__in=queryset).run_now(now=now)
        queue_due_jobs(now)
        self.message_user(request, f"Starting {_jobs(due)}.", messages.SUCCESS)

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self.message_user(request, f"Enabled {_jobs(queryset.update(is_enabled=True))}.")

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self.message_user(request, f"Disabled {_jobs(queryset.update(is_enabled=False))}.")


def _jobs(count: int) -> str:
    return f"{count} job{pluralize(count)}"


@admin.register(JobRun)
class JobRunAdmin(LogAdmin):
    list_display = ("job", "started_at", "duration", "outcome", "result", "node")
    list_filter = ("outcome", "job", "node")
    list_select_related = ("job",)
    ordering = ("-started_at", "-pk")
    date_hierarchy = "started_at"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Node)
class NodeAdmin(LogAdmin):
    list_display = ("name", "version", "pid", "seen_at", "last_tick_at", "last_progress_at")
    ordering = ("name",)


class QueueLogAdmin(LogAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Failure)
class FailureAdmin(QueueLogAdmin):
    list_display = ("name", "func", "started", "stopped", "attempt_count")
    search_fields = ("name",)
    ordering = ("-stopped",)
    fields = ("name", "func", "args", "started", "stopped", "attempt_count", "result")


@admin.register(OrmQ)
class QueuedTaskAdmin(QueueLogAdmin):
    list_display = ("id", "name", "lock")
    ordering = ("id",)
    fields = ("name", "task_id", "func", "args", "lock")
