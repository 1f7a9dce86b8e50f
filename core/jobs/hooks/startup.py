from datetime import datetime

from core.jobs.services import sync_jobs
from core.lib.startup import on_start


@on_start("jobs.sync")
def sync(now: datetime) -> None:
    sync_jobs(now)
