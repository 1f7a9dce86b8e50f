"""Let the portal's search find scheduled jobs."""

from collections.abc import Iterator

from django.urls import reverse

from core.jobs.models import Job
from core.lib.search_sources import Hit, Search, search_source


@search_source("jobs.jobs", title="Jobs", permission="jobs.view_job", order=800, respects_apps=True)
def find_jobs(search: Search) -> Iterator[Hit]:
    for job in Job.objects.order_by("name"):
        if search.matches(job.title, job.summary, job.name):
            yield Hit(job.title, reverse("admin:jobs_job_change", args=[job.pk]), job.summary)
