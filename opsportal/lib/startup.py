"""What an app puts in order when the portal starts: `startup.py` of an app, run after migrating, by one node at a time.

It must be safe to run again: every start of every node does.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from opsportal.lib.registry import Registry

Hook = Callable[[datetime], object]
F = TypeVar("F", bound=Hook)

registry: Registry[Hook] = Registry("startup")


def on_start(name: str) -> Callable[[F], F]:
    """Register `(now) -> anything`. Hooks run in the order of their names and must not depend on it."""

    def register(hook: F) -> F:
        registry.add(name, hook)
        return hook

    return register


def run(now: datetime) -> list[str]:
    """Run every hook; returns their names."""
    for hook in registry:
        hook(now)
    return registry.names()
