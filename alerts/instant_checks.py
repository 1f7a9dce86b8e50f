"""The registry of checks that "Run all checks now" runs in addition to the rules.

Apps declare them in a module named `instant_checks`.
"""

from collections.abc import Callable
from datetime import datetime

from core.lib.registry import Registry

InstantCheck = Callable[[datetime], str]  # takes `now`, returns a short outcome
registry: Registry[InstantCheck] = Registry("instant_checks")


def instant_check(name: str) -> Callable[[InstantCheck], InstantCheck]:
    """Register a check that returns its outcome in a few words."""

    def register(check: InstantCheck) -> InstantCheck:
        registry.add(name, check)
        return check

    return register
