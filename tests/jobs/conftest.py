from collections.abc import Callable
from datetime import timedelta

import pytest

from core.lib import schedules
from core.lib.registry import Registry
from core.lib.schedules import Scheduled

AddJob = Callable[..., str]


@pytest.fixture
def add_job(monkeypatch: pytest.MonkeyPatch) -> AddJob:
    """Empty the registry of jobs, and return a function that adds one: `add_job("tests.x.task")`."""
    registry: Registry[Scheduled] = Registry("tasks")
    monkeypatch.setattr(schedules, "registry", registry)

    def add(name: str, cron: str = "* * * * *", seconds: int = 50) -> str:
        registry.add(name, Scheduled(name, cron, "A test's job", timedelta(seconds=seconds)))
        return name

    return add
