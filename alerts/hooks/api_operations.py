"""The OpenAPI description of the alerts API."""

from alerts.views.api import ChecksRun
from core.lib.openapi import describe

describe(
    "alerts:check-run",
    "POST",
    "Run all scheduled checks now.",
    scope="admin",
    answers={200: ChecksRun},
)
