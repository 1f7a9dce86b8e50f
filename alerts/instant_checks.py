"""The registry of what "run all checks now" runs besides the rules: `instant_checks.py` of an app brings its own."""

from collections.abc import Callable
from datetime import datetime

from opsportal.lib.registry import Registry

InstantCheck = Callable[[datetime], str]  # returns what came of it, in a few words
registry: Registry[InstantCheck] = Registry("instant_checks")


def instant_check(name: str) -> Callable[[InstantCheck], InstantCheck]:
    def register(check: InstantCheck) -> InstantCheck:
        registry.add(name, check)
        return check

    return register
