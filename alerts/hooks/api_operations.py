"""Describe the alerts API in OpenAPI."""

from typing import Any

from alerts.views.api import ChecksRun
from alerts.views.on_call import NewOverride, OnCallNow, OverrideOut, Overrides, Shifts
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
describe(
    "alerts:on-call-now",
    "GET",
    "Return who is on call in each schedule.",
    scope="on-call",
    query={
        "schedule": "The name of a schedule; by default all are returned.",
        "at": "A time with its offset; by default now.",
    },
    answers={200: OnCallNow},
    refusals={404: "There is no schedule with this name.", 422: "The time is not valid."},
)
describe(
    "alerts:on-call-shifts",
    "GET",
    "Return the shifts and gaps of a schedule.",
    scope="on-call",
    query={
        "from": "A time with its offset; by default now.",
        "until": "A time with its offset; by default 14 days after `from`.",
    },
    answers={200: Shifts},
    refusals={
        404: "There is no such schedule.",
        422: "The period is not valid, or longer than 366 days.",
    },
)
describe(
    "alerts:on-call-overrides",
    "GET",
    "List the overrides of a schedule that are not over.",
    scope="on-call",
    answers={200: Overrides},
    refusals={404: "There is no such schedule."},
)
describe(
    "alerts:on-call-overrides",
    "POST",
    "Let a person take over for a time, from everyone or only from `instead_of`.",
    scope="on-call",
    takes=NewOverride,
    answers={201: OverrideOut},
    refusals={404: "There is no such schedule."},
)
describe(
    "alerts:on-call-override",
    "DELETE",
    "Delete an override.",
    scope="on-call",
    answers={204: None},
    refusals={404: "There is no such override."},
)
