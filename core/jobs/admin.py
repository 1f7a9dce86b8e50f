"""Define the admin of scheduled jobs and their history. django-q2's own pages are hidden or read-only."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success

from core.jobs.models import OFF, Job, JobRun, Node
from core.jobs.services import queue_due_jobs
from core.lib import formats
from core.lib.admin import LogAdmin, PortalAdmin
from core.lib.markup import state, when

# Users must not edit Schedule rows, because a malformed row would stop all schedules. The portal's own job pages
# replace the other pages of django-q2.
admin.site.unregister([Schedule, Success, Failure, OrmQ])


@admin.register(Job)
class JobAdmin(PortalAdmin):
    setting_purpose = "Tasks that the portal runs in the background, with their schedules."
    list_display = ("job", "times", "last_finished_at", "outcome", "next_run")
    list_filter = ("is_enabled", "last_outcome")
    search_fields = ("name", "summary")
    ordering = ("name",)
    actions = ("run_now", "enable", "disable")
    fieldsets = (
        (None, {"fields": ("title", "summary", "times", "is_enabled", "next_run")}),
        ("Last run", {"fields": ("last_started_at", "last_finished_at", "outcome", "runs")}),
        ("Technical details", {"fields": ("name", "cron", "lease_until")}),
    )
    readonly_fields = (
        "title", "summary", "times", "next_run", "last_started_at", "last_finished_at",
        "outcome", "runs", "name", "cron", "lease_until",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        newest = (
            JobRun.objects.filter(job=OuterRef("pk"))
            .exclude(finished_at=None)
            .order_by("-started_at", "-pk")
        )
        results = Subquery(newest.values("result")[:1])
        found: QuerySet[Job] = super().get_queryset(request)
        return found.annotate(newest_result=results)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        # The next start of the portal would create the job again, so jobs can only be disabled.
        return False

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.run_job")

    @admin.display(description="job", ordering="name")
    def job(self, job: Job) -> SafeString:
        return format_html('{}<div class="quiet small">{}</div>', job.title, job.summary)

    @admin.display(description="schedule")
    def times(self, job: Job) -> str:
        return job.schedule

    @admin.display(description="outcome", ordering="last_outcome")
    def outcome(self, job: Job) -> SafeString | str:
        if not job.is_enabled or getattr(job, "newest_result", "") == OFF:
            return state("off")
        return state(job.last_outcome) if job.last_outcome else "not run yet"

    @admin.display(description="next run", ordering="next_run_at")
    def next_run(self, job: Job) -> SafeString | str:
        return when(job.next_run_at, "next") if job.is_enabled else formats.NONE

    @admin.display(description="history")
    def runs(self, job: Job) -> SafeString:
        url = reverse("admin:jobs_jobrun_changelist")
        return format_html('<a href="{}?job__id__exact={}">All runs of this job</a>', url, job.pk)

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
    list_display = ("job", "started_at", "length", "outcome", "result", "node")
    list_filter = ("outcome", "job", "node")
    list_select_related = ("job",)
    ordering = ("-started_at", "-pk")
    date_hierarchy = "started_at"

    @admin.display(description="duration")
    def length(self, run: JobRun) -> str:
        return formats.span(run.duration)

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
    setting_title = "Failed tasks"
    row_name = "failed task"
    list_display = ("name", "func", "started", "stopped", "attempt_count")
    search_fields = ("name",)
    ordering = ("-stopped",)
    fields = ("name", "func", "args", "started", "stopped", "attempt_count", "result")


@admin.register(OrmQ)
class QueuedTaskAdmin(QueueLogAdmin):
    setting_title = "Waiting tasks"
    row_name = "waiting task"
    list_display = ("id", "name", "lock")
    ordering = ("id",)
    fields = ("name", "task_id", "func", "args", "lock")
