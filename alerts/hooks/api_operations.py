"""The OpenAPI description of the alerts API."""

from typing import Any

from alerts.views.api import ChecksRun
from alerts.views.receive import AlertsReceived, PrometheusNotification
from core.lib.openapi import describe

describe(
    "alerts:check-run",
    "POST",
    "Run all scheduled checks now.",
    scope="admin",
    answers={200: ChecksRun},
)
for source in ("alertmanager", "grafana"):
    describe(
        f"alerts:receive-{source}",
        "POST",
        f"Receive the alerts of {source.capitalize()}: those that fire are opened here, resolved ones are resolved.",
        scope="alerts",
        takes=PrometheusNotification,
        answers={200: AlertsReceived},
        refusals={413: "Too many alerts in one call."},
    )
describe(
    "alerts:receive-generic",
    "POST",
    "Receive alerts of any system. Query parameters give the paths of the members, for example `title=event.name`.",
    scope="alerts",
    takes=dict[str, Any],
    answers={200: AlertsReceived},
    refusals={413: "Too many alerts in one call.", 422: "An alert has no title."},
)
