"""Declare the retention periods of job runs."""

from collections.abc import Iterator

from core.jobs.services import FAILURE_RETENTION, SUCCESS_RETENTION
from core.lib.retention import Kept, keeps


@keeps("jobs")
def kept() -> Iterator[Kept]:
    yield Kept("Runs of jobs that succeeded", SUCCESS_RETENTION)
    yield Kept("Runs of jobs that failed", FAILURE_RETENTION)
