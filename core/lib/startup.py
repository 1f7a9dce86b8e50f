"""Startup hooks, which apps register in `startup.py`. They run after migrations, on one node at a time.

Hooks must be idempotent because every start of every node runs them.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from core.lib.registry import Registry

Hook = Callable[[datetime], object]
F = TypeVar("F", bound=Hook)

registry: Registry[Hook] = Registry("startup")


def on_start(name: str) -> Callable[[F], F]:
    """Register a hook `(now) -> object`. Hooks run in the order of their names but must not rely on it."""

    def register(hook: F) -> F:
        registry.add(name, hook)
        return hook

    return register


def run(now: datetime) -> list[str]:
    """Run every hook and return their names."""
    for hook in registry:
        hook(now)
    return registry.names()
