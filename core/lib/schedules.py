"""Decorators that schedule tasks, such as `@every(minutes=5)` on a function in an app's `tasks.py`.

Times of day are in settings.TIME_ZONE. `core.jobs` keeps one row per scheduled task and runs it when due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from cronsim import CronSim
from django.conf import settings

from core.lib.registry import Registry

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Scheduled:
    name: str  # dotted path of the task, also the name of its job
    cron: str  # five fields, in settings.TIME_ZONE
    summary: str
    timeout: timedelta
    is_urgent: bool = False  # needs no free worker; see `core.jobs.tasks.urgent_jobs`

    def next_after(self, timestamp: datetime) -> datetime:
        """Return the first due time after `timestamp` (aware), in UTC.

        Daylight-saving changes are handled as in Debian's cron: a time of day that is skipped runs right after the gap,
        one that occurs twice runs once, and hourly schedules keep their interval.
        """
        zone = ZoneInfo(settings.TIME_ZONE)
        return next(CronSim(self.cron, timestamp.astimezone(zone))).astimezone(UTC)


DEFAULT_TIMEOUT = timedelta(seconds=50)
registry: Registry[Scheduled] = Registry("tasks", package="")


def cron(
    expression: str, *, timeout: timedelta = DEFAULT_TIMEOUT, is_urgent: bool = False
) -> Callable[[F], F]:
    """Run the task at the times of a five-field crontab expression, and record its return value as the result.

    A run is ended after `timeout`; until then, no other run of the task starts. An urgent task starts on time even if
    slow tasks occupy all workers. It must be short and must call no outside service.
    """

    def register(function: F) -> F:
        name = f"{function.__module__}.{function.__name__}"
        summary = (function.__doc__ or "").strip().split("\n")[0]
        registry.add(name, Scheduled(name, expression, summary, timeout, is_urgent))
        return function

    return register


def every(*, minutes: int, is_urgent: bool = False) -> Callable[[F], F]:
    """Run the task every `minutes`, counted from the full hour. Raises ValueError unless it divides 60."""
    if not 1 <= minutes <= 30 or 60 % minutes:
        raise ValueError(f"an hour is not a multiple of {minutes} minutes")
    expression = "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    return cron(expression, is_urgent=is_urgent)


def hourly(
    *, minute: int = 0, timeout: timedelta = DEFAULT_TIMEOUT, is_urgent: bool = False
) -> Callable[[F], F]:
    return cron(f"{minute} * * * *", timeout=timeout, is_urgent=is_urgent)


def daily(*, hour: int, minute: int = 0, timeout: timedelta = DEFAULT_TIMEOUT) -> Callable[[F], F]:
    return cron(f"{minute} {hour} * * *", timeout=timeout)


def weekly(
    *, weekday: int, hour: int, minute: int = 0, timeout: timedelta = DEFAULT_TIMEOUT
) -> Callable[[F], F]:
    """Run the task once a week. `weekday` counts from 0 (Sunday), as in cron."""
    return cron(f"{minute} {hour} * * {weekday}", timeout=timeout)
