"""The cadence stands on the task: `@every(minutes=5)` above a function in an app's `tasks.py`.

Times of day are in settings.TIME_ZONE. `opsportal.jobs` keeps one row per scheduled task and runs it when due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from cronsim import CronSim
from django.conf import settings

from opsportal.lib.registry import Registry

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Scheduled:
    name: str  # dotted path of the task, which is also its job's name
    cron: str  # five fields, in settings.TIME_ZONE
    summary: str
    timeout: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """The first due instant strictly after `moment`, an aware one, in UTC.

        On the nights the clocks change it does as Debian's cron: a time of day that is skipped runs right after the gap,
        one that comes twice runs once, and what runs by the hour keeps its pace.
        """
        zone = ZoneInfo(settings.TIME_ZONE)
        return next(CronSim(self.cron, moment.astimezone(zone))).astimezone(UTC)


DEFAULT_TIMEOUT = timedelta(seconds=50)
registry: Registry[Scheduled] = Registry("tasks")


def cron(expression: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Callable[[F], F]:
    """Run the task at the minutes a five-field crontab expression names. Its return value, if any, is kept as the outcome.

    A run that takes longer than `timeout` is broken off; no other run of the task starts before that.
    """

    def register(function: F) -> F:
        name = f"{function.__module__}.{function.__name__}"
        summary = (function.__doc__ or "").strip().split("\n")[0]
        registry.add(name, Scheduled(name, expression, summary, timeout))
        return function

    return register


def every(*, minutes: int) -> Callable[[F], F]:
    """Every so many minutes, counted from the full hour (so 1, 5, 15 … : divisors of 60)."""
    if not 1 <= minutes <= 30 or 60 % minutes:
        raise ValueError(f"{minutes} minutes do not divide an hour")
    return cron("* * * * *" if minutes == 1 else f"*/{minutes} * * * *")


def hourly(*, minute: int = 0, timeout: timedelta = DEFAULT_TIMEOUT) -> Callable[[F], F]:
    return cron(f"{minute} * * * *", timeout=timeout)


def daily(*, hour: int, minute: int = 0, timeout: timedelta = DEFAULT_TIMEOUT) -> Callable[[F], F]:
    return cron(f"{minute} {hour} * * *", timeout=timeout)


def weekly(
    *, weekday: int, hour: int, minute: int = 0, timeout: timedelta = DEFAULT_TIMEOUT
) -> Callable[[F], F]:
    """`weekday` as cron counts: 0 is Sunday."""
    return cron(f"{minute} {hour} * * {weekday}", timeout=timeout)
