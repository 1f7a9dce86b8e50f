"""Scheduled work. The first line of a docstring is the task's name in the admin."""

from django.utils import timezone

from core.lib.schedules import daily, every
from impact.services import catch_up


@every(minutes=1)
def add_up_orders() -> str:
    """Add up which orders problems touched"""
    is_complete = catch_up.catch_up(seconds=catch_up.WORKER_SECONDS, is_paused=True)
    return "up to date" if is_complete else "continues"


@daily(hour=2, minute=50)
def prune() -> dict[str, int]:
    """Delete expired links between problems and orders"""
    return {"references": catch_up.prune(now=timezone.now())}
