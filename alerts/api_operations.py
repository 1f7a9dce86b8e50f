"""Described for programs: see opsportal.lib.openapi."""

from alerts.views.api import ChecksRun
from opsportal.lib.openapi import describe

describe(
    "alerts:check-run",
    "POST",
    "Everything that is checked by schedule, checked now.",
    scope="admin",
    answers={200: ChecksRun},
)
