"""Schedule tasks with decorators, such as `@every(minutes=5)` on a function in an app's `tasks.py`.

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
    name: str  # The dotted path of the task, which is also the name of its job.
    cron: str  # A crontab expression with five fields, evaluated in settings.TIME_ZONE.
    summary: str
    timeout: timedelta
    # If True, the task does not need a free worker; see `core.jobs.tasks.urgent_jobs`.
    is_urgent: bool = False
    title: str = ""  # The name under which pages show the job.

    def next_after(self, timestamp: datetime) -> datetime:
        """Return the first due time after `timestamp` (aware), in UTC.

        Daylight-saving changes are handled as in Debian's cron: a task whose time of day is skipped runs right after
        the gap, a task whose time occurs twice runs once, and hourly schedules keep their interval.
        """
        zone = ZoneInfo(settings.TIME_ZONE)
        return next(CronSim(self.cron, timestamp.astimezone(zone))).astimezone(UTC)


DEFAULT_TIMEOUT = timedelta(seconds=50)
registry: Registry[Scheduled] = Registry("tasks", package="")


def cron(
    expression: str,
    *,
    title: str = "",
    timeout: timedelta = DEFAULT_TIMEOUT,
    is_urgent: bool = False,
) -> Callable[[F], F]:
    """Run the task at the times of a five-field crontab expression, and record its return value as the result.

    Pages show `title` and, as the purpose, the first line of the docstring. A run is ended after `timeout`; until then,
    no other run of the task starts. An urgent task starts on time even if slow tasks occupy all workers, so it must be
    short and must not call outside services.
    """

    def register(function: F) -> F:
        name = f"{function.__module__}.{function.__name__}"
        summary = (function.__doc__ or "").strip().split("\n")[0]
        registry.add(name, Scheduled(name, expression, summary, timeout, is_urgent, title))
        return function

    return register


def every(*, minutes: int, title: str = "", is_urgent: bool = False) -> Callable[[F], F]:
    """Run the task every `minutes` minutes, starting on the hour.

    Raises ValueError unless `minutes` is a divisor of 60 that is at most 30.
    """
    if not 1 <= minutes <= 30 or 60 % minutes:
        raise ValueError(f"an hour is not a multiple of {minutes} minutes")
    expression = "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    return cron(expression, title=title, is_urgent=is_urgent)


def hourly(
    *,
    minute: int = 0,
    title: str = "",
    timeout: timedelta = DEFAULT_TIMEOUT,
    is_urgent: bool = False,
) -> Callable[[F], F]:
    return cron(f"{minute} * * * *", title=title, timeout=timeout, is_urgent=is_urgent)


def daily(
    *, hour: int, minute: int = 0, title: str = "", timeout: timedelta = DEFAULT_TIMEOUT
) -> Callable[[F], F]:
    return cron(f"{minute} {hour} * * *", title=title, timeout=timeout)


def weekly(
    *,
    weekday: int,
    hour: int,
    minute: int = 0,
    title: str = "",
    timeout: timedelta = DEFAULT_TIMEOUT,
) -> Callable[[F], F]:
    """Run the task once a week. `weekday` counts from 0 (Sunday), as in cron."""
    return cron(f"{minute} {hour} * * {weekday}", title=title, timeout=timeout)


_WEEKDAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays")


def in_words(expression: str) -> str:
    """Return the times of a crontab expression that a decorator of this module made in words, such as "every 5 min".

    Any other expression is returned unchanged.
    """
    fields = expression.split()
    if len(fields) != 5 or fields[2:4] != ["*", "*"]:
        return expression
    minute, hour, _, _, weekday = fields
    if (hour, weekday) == ("*", "*"):
        if minute == "*":
            return "every minute"
        if minute.startswith("*/"):
            return f"every {minute[2:]} min"
        return f"hourly at :{minute:0>2}" if minute.isdigit() else expression
    if not (minute.isdigit() and hour.isdigit()):
        return expression
    time = f"at {hour:0>2}:{minute:0>2}"
    if weekday == "*":
        return f"daily {time}"
    return f"{_WEEKDAYS[int(weekday)]} {time}" if weekday in "0123456" else expression
