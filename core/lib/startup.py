"""Run the startup hooks of apps (`hooks/startup.py`) after migrations, on one node at a time.

Hooks must be idempotent because every start of every node runs them.
"""

from collections.abc import Callable
from datetime import datetime

from core.lib.registry import Registry

Hook = Callable[[datetime], object]

registry: Registry[Hook] = Registry("startup")


def on_start(name: str) -> Callable[[Hook], Hook]:
    """Register a hook `(now) -> object`. Hooks may run in any order."""
    return registry.decorator(name, lambda hook: hook)


def run(now: datetime) -> list[str]:
    """Run every hook and return their names."""
    for hook in registry:
        hook(now)
    return registry.names()
