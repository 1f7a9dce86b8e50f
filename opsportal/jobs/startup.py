from datetime import datetime

from opsportal.jobs.services import sync_jobs
from opsportal.lib.startup import on_start


@on_start("jobs.sync")
def sync(now: datetime) -> None:
    sync_jobs(now)
